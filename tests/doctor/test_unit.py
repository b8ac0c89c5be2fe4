import getpass
from pathlib import Path

import pytest

from agentd.doctor.unit import check_unit, judge
from tests.doctor.conftest import FindHome, levels, told

RUNS = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
    "MainPID": "7",
}


def test_a_service_that_runs_and_lingers_is_well() -> None:
    assert told(judge(RUNS, lingers=True, pid=7)) == {
        "service": ("ok", "active (running), pid 7", ""),
        "linger": ("ok", "runs while nobody is logged in", ""),
    }


@pytest.mark.parametrize(
    ("given", "level", "hint"),
    [
        ({"LoadState": "not-found"}, "warning", "agentd service install"),
        ({"LoadState": "bad-setting", "LoadError": "x"}, "error", "systemctl --user cat agentd.service"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "error", "journalctl --user -u agentd -e"),
        ({"ActiveState": "inactive"}, "warning", "systemctl --user start agentd"),
        ({"NeedDaemonReload": "yes"}, "warning", "systemctl --user daemon-reload"),
        ({"UnitFileState": "disabled"}, "warning", "systemctl --user enable agentd"),
        ({"MainPID": "9"}, "warning", "agentd stop && systemctl --user restart agentd"),
    ],
)
def test_what_is_wrong_with_the_unit_is_told_with_what_to_type(
    given: dict[str, str], level: str, hint: str
) -> None:
    found = [one for one in judge(RUNS | given, lingers=True, pid=7) if one.level != "ok"]
    assert [(one.level, one.hint.startswith(hint)) for one in found] == [(level, True)]


def test_a_service_that_ends_with_the_session_is_a_warning() -> None:
    level, _, hint = told(judge(RUNS, lingers=False, pid=7))["linger"]
    assert (level, hint) == ("warning", f"loginctl enable-linger {getpass.getuser()}")


def test_what_systemctl_says_is_read(find: FindHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemctl"
    lines = "\n".join(f"{key}={value}" for key, value in RUNS.items())
    program.write_text(f"#!/bin/sh\nprintf '%s' '{lines}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("agentd.doctor.unit.sys.platform", "linux")
    assert levels(check_unit(find(pid=7)))["service"] == "ok"
    program.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    assert told(check_unit(find()))["service"][1] == "no user's service manager can be reached from here"
    program.unlink()
    assert told(check_unit(find()))["service"][1] == "there is no systemd here"
