"""The property list of macOS."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from agentd.service.launchd import LABEL, agent
from tests.service.making import make_machine


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
