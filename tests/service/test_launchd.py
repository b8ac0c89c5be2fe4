"""The property list of macOS."""

import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from agentd.service.launchctl import Launchd
from agentd.service.launchd import LABEL, agent
from tests.service.making import make_machine
from tests.service.stand_in import StandIn


def test_the_property_list_says_how_the_daemon_lives() -> None:
    text = agent(make_machine(python=Path("/opt/a b/<&>/python")), Path("/Users/me/é.log"))
    said = plistlib.loads(text)
    assert said["Label"] == LABEL
    assert said["ProgramArguments"] == ["/opt/a b/<&>/python", "-P", "-m", "agentd", "start"]
    assert said["KeepAlive"] == {"SuccessfulExit": False}
    assert (said["ThrottleInterval"], said["ExitTimeOut"], said["ProcessType"]) == (10, 20, "Background")
    assert said["StandardErrorPath"] == "/Users/me/é.log"
    assert said["EnvironmentVariables"] == {"AGENTD_HOME": "/srv/agentd"}


def test_plutil_accepts_it(tmp_path: Path) -> None:
    if shutil.which("plutil") is None:
        pytest.skip("plutil is not installed")
    file = tmp_path / "agentd.plist"
    file.write_bytes(agent(make_machine(), tmp_path / "log"))
    subprocess.run(["plutil", "-lint", str(file)], check=True)


def test_an_agent_is_started_with_what_its_list_says_now(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    stand_in.answer(("bootstrap", "", 0), ("", "Could not find service", 113))
    launchd = Launchd(tmp_path / "log")
    launchd.start()
    domain = f"gui/{os.getuid()}"
    assert [call[1:3] for call in stand_in.calls] == [
        ["bootout", f"{domain}/{LABEL}"],
        ["print", f"{domain}/{LABEL}"],
        ["bootstrap", domain],
    ]
    state = launchd.state()
    assert (state.installed, state.active, state.state) == (False, False, "not loaded")


def test_the_state_of_an_agent_is_read_from_what_launchctl_prints(stand_in: StandIn, tmp_path: Path) -> None:
    said = "gui/501/x = {\n\tactive count = 1\n\tstate = running\n\truns = 3\n\tpid = 4711\n}"
    stand_in.answer(("print", said, 0))
    state = Launchd(tmp_path / "log").state()
    assert (state.active, state.state, state.pid, state.restarts) == (True, "running", 4711, 2)
