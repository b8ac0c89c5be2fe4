"""`agentd service`, with a systemctl on PATH that notes how it is called."""

import sys

import pytest

from agentd.paths import Paths
from agentd.service.manager import Systemd
from agentd.service.running import restart_service
from tests.cli.conftest import Cli
from tests.service.stand_in import ACTIVE, INACTIVE, StandIn

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd")


def test_install_writes_the_unit_enables_and_starts_it(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    stand_in.answer(("show agentd.service", INACTIVE, 0))
    ran = cli("service", "install", "--yes")
    assert ran.code == 0, ran.err
    unit = Systemd().file.read_text()
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit
    assert stand_in.verbs == ["daemon-reload", "enable --quiet agentd.service", "restart agentd.service"]
    assert (ran.out, "would write" in ran.err) == ("", True)


def test_install_without_a_start_leaves_it_to_the_next_boot(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    stand_in.answer(("show agentd.service", INACTIVE, 0))
    assert cli("service", "install", "--yes", "--no-start").code == 0
    assert stand_in.verbs == ["daemon-reload", "enable --quiet agentd.service"]


def test_a_changed_unit_is_shown_as_a_difference(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    stand_in.answer(("show agentd.service", ACTIVE.format(pid=1), 0))
    Systemd().file.parent.mkdir(parents=True)
    assert cli("service", "install", "--yes").code == 0
    Systemd().file.write_text(Systemd().file.read_text().replace("Nice=5", "Nice=9"))
    ran = cli("service", "install")
    assert ran.code == 1
    assert "  -Nice=9\n  +Nice=5\n" in ran.err
    assert "no terminal" in ran.err
    assert "Nice=9" in Systemd().file.read_text()


def test_status_tells_what_systemd_knows_and_exits_with_3_where_nothing_runs(
    cli: Cli,
    fake: Paths,
    stand_in: StandIn,
) -> None:
    stand_in.answer(("show agentd.service", ACTIVE.format(pid=77), 0), ("show-user", "yes", 0))
    ran = cli("service", "status", "--json")
    assert ran.code == 0
    assert (ran.json["pid"], ran.json["restarts"], ran.json["lingers"]) == (77, 2, True)
    assert ran.json["told"] == "ready; nothing to do = idle"
    stand_in.answer(("show agentd.service", INACTIVE, 0), ("show-user", "no", 0))
    ran = cli("service", "status")
    assert ran.code == 3
    assert "loginctl enable-linger" in ran.out
    assert ran.err.endswith("next:  agentd service install\n")


def test_a_restart_of_what_systemd_runs_goes_through_systemd(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    Systemd().file.parent.mkdir(parents=True)
    Systemd().file.write_text("[Service]\n")
    stand_in.answer(("show agentd.service", INACTIVE, 0))
    ran = cli("restart")
    assert ran.code == 0, ran.err
    assert stand_in.verbs == ["restart agentd.service"]


def test_uninstall_stops_disables_and_forgets(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    Systemd().file.parent.mkdir(parents=True)
    Systemd().file.write_text("[Service]\n")
    ran = cli("service", "uninstall")
    assert ran.code == 0, ran.err
    assert not Systemd().file.exists()
    verbs = ["disable --quiet --now agentd.service", "daemon-reload", "reset-failed agentd.service"]
    assert [" ".join(verb.split()[-len(verbs[0].split()) :]) for verb in stand_in.verbs][:2] == verbs[:2]


def test_logs_are_the_journals_of_the_unit(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    assert cli("service", "logs", "-n", "7", "-f").code == 0
    call = stand_in.calls[-1]
    assert call == ["journalctl", "--user", "--unit=agentd.service", "--lines=7", "--no-pager", "--follow"]


def test_print_prints_the_unit_and_nothing_else(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    stand_in.answer(("show", "Failed to connect to bus: No medium found", 1))
    ran = cli("service", "print", "--systemd-version", "255")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("# Written by")
    assert "Type=notify-reload" in ran.out
    assert cli("service", "print", "--launchd").out.startswith("<?xml")
    assert "User=agentd" in cli("service", "print", "--system").out


def test_a_daemon_of_another_manager_or_of_none_is_not_restarted_through_it(stand_in: StandIn) -> None:
    Systemd().file.parent.mkdir(parents=True)
    Systemd().file.write_text("[Service]\n")
    stand_in.answer(("show agentd.service", ACTIVE.format(pid=77), 0))
    assert restart_service(78) is None
    assert stand_in.verbs == []
    assert restart_service(77)
    assert stand_in.verbs == ["restart agentd.service"]


def test_what_stands_in_the_journal_as_json_is_asked_for_as_such(cli: Cli, fake: Paths, stand_in: StandIn) -> None:
    cli("service", "logs", "--json")
    assert "--output=json" in stand_in.calls[-1]


def test_only_root_installs_a_service_of_the_machine(
    cli: Cli, fake: Paths, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ran = cli("service", "install", "--system", "--yes")
    assert ran.code == 1
    assert "next:  sudo /" in ran.err
    assert stand_in.calls == []
