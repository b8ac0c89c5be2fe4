import getpass
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.doctor.unit import check_unit, judge
from agentd.errors import ServiceError
from agentd.service.installation import Service
from agentd.service.manager import ServiceState, Systemd
from tests.doctor.conftest import FAKE, FindHome, levels, told

RUNS = ServiceState(True, True, True, "active (running)", "", 7, "ready", 0)
WELL = {"current": True, "lingers": True, "pid": 7, "start": "systemctl --user start agentd"}


def test_a_service_that_runs_and_lingers_is_well() -> None:
    assert told(judge(RUNS, **WELL)) == {  # type: ignore[arg-type]
        "service": ("ok", "active (running), pid 7", ""),
        "linger": ("ok", "it runs while nobody is logged in", ""),
    }


@pytest.mark.parametrize(
    ("state", "given", "level", "hint"),
    [
        ({"state": "failed (failed)", "active": False, "pid": None}, {}, "error", "agentd service logs"),
        (
            {"state": "inactive (dead)", "active": False, "pid": None},
            {},
            "warning",
            "systemctl --user start agentd",
        ),
        ({"enabled": False}, {}, "warning", "agentd service install"),
        ({"pid": 9}, {}, "warning", "agentd stop && systemctl --user start agentd"),
        ({}, {"current": False}, "warning", "agentd service install"),
        ({}, {"lingers": False}, "warning", f"loginctl enable-linger {getpass.getuser()}"),
    ],
)
def test_what_is_wrong_with_the_service_is_told_with_the_way_out(
    state: dict[str, object], given: dict[str, object], level: str, hint: str
) -> None:
    found = [one for one in judge(replace(RUNS, **state), **WELL | given) if one.level != "ok"]  # type: ignore[arg-type]
    assert [(one.level, one.hint) for one in found] == [(level, hint)]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's unit would lie; there is none of the system's."""
    monkeypatch.setattr("agentd.doctor.unit.sys.platform", "linux")
    monkeypatch.setattr(Systemd, "folder", property(lambda self: tmp_path / ("system" if self.system else "user")))
    monkeypatch.setattr(Systemd, "lingers", lambda self: True)
    monkeypatch.setattr(Systemd, "state", lambda self: RUNS)
    monkeypatch.setattr(Systemd, "version", lambda self: 252)
    return tmp_path / "user" / "agentd.service"


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no systemd here")
def test_a_unit_is_held_against_what_the_config_gives_now(
    find: FindHome, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = find(pid=7)
    assert told(check_unit(home))["service"][::2] == ("warning", "agentd service install")
    installed.parent.mkdir()
    (unit,) = Service().files(namespaces=True, version=252)
    installed.write_text(unit.text)
    assert levels(check_unit(home)) == {"service": "ok", "linger": "ok"}
    find(f"{FAKE}actions: {{targets: {{here: {tmp_path}}}}}\n")
    assert "its unit is not what the config gives now" in told(check_unit(home))["service"][1]
    broken = find("wotch: []\n", pid=7)
    assert levels(check_unit(broken)) == {"service": "ok", "linger": "ok"}, "nobody knows what it would be"


def test_a_manager_that_does_not_answer_is_a_warning(
    find: FindHome, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Systemd) -> ServiceState:
        raise ServiceError("the user's service manager cannot be reached", hint="loginctl")

    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(Systemd, "state", refuse)
    assert told(check_unit(find()))["service"] == (
        "warning",
        "the user's service manager cannot be reached",
        "loginctl",
    )
