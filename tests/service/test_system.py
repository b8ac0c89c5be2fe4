"""The system service for real: a systemd of its own makes the account, starts the unit and forgets it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.service.systemd import SYSTEM_HOME
from tests.service.managers import SYSTEM_VENV, Manager, system_manager
from tests.waiting import wait_for

CONFIG = "models: {main: {path: starter}}\nwatch: [{path: /var/lib/notes, task: note-tagging, settle: 100ms}]\n"
PYTHON = (str(SYSTEM_VENV / "bin/python"), "-P", "-m", "agentd")
AS_AGENTD = (
    *("setpriv", "--reuid=agentd", "--regid=agentd", "--init-groups"),
    *("env", f"AGENTD_HOME={SYSTEM_HOME}", *PYTHON),
)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with system_manager(tmp_path) as running:
        yield running


def show(manager: Manager, name: str) -> str:
    asked = ("systemctl", "show", "agentd.service", f"--property={name}", "--value")
    return manager.as_root(*asked).stdout.strip()


def test_the_system_service_from_its_install_to_its_end(manager: Manager) -> None:
    manager.as_root("mkdir", "-p", str(SYSTEM_HOME), "/var/lib/notes")
    manager.file(SYSTEM_HOME / "config.yaml").write_text(CONFIG + "vocabularies: {tags: [python]}\n")
    done = manager.as_root(*PYTHON, "service", "install", "--system", "--yes")
    assert f"sudo -u agentd AGENTD_HOME={SYSTEM_HOME} {PYTHON[0]} -m agentd ask" in done.stderr
    assert "nothing to change" in manager.as_root(*PYTHON, "service", "install", "--system").stderr
    status = json.loads(manager.as_root(*PYTHON, "service", "status", "--system", "--json").stdout)
    assert (status["active"], status["enabled"], status["current"]) == (True, True, True)

    # Its own user reaches it, and nobody else.
    seen = json.loads(manager.as_root(*AS_AGENTD, "status", "--json").stdout)
    assert (seen["pid"], seen["models"]["main"]["loaded"]) == (int(show(manager, "MainPID")), True)
    as_root = manager.as_root("env", f"AGENTD_HOME={SYSTEM_HOME}", *PYTHON, "status", code=None)
    assert as_root.returncode != 0
    process = manager.as_root("cat", f"/proc/{show(manager, 'MainPID')}/status").stdout
    assert "CapEff:\t0000000000000000" in process
    assert "Uid:\t0" not in process

    before = show(manager, "MainPID")
    manager.as_root("kill", "-SEGV", before)
    wait_for(
        lambda: show(manager, "ActiveState") == "active" and show(manager, "MainPID") != before, 60, "a restart"
    )

    manager.as_root(*PYTHON, "service", "uninstall", "--system")
    assert show(manager, "LoadState") == "not-found"
    assert manager.file(SYSTEM_HOME / "agentd.db").exists()


def test_an_interpreter_that_the_service_could_not_reach_is_refused(manager: Manager) -> None:
    manager.as_root("mkdir", "-p", "/home/me")
    manager.as_root("cp", "-a", str(SYSTEM_VENV), "/home/me/venv")
    done = manager.as_root(
        "/home/me/venv/bin/python", *PYTHON[1:], "service", "install", "--system", "--yes", code=1
    )
    assert "lies in a home" in done.stderr
    assert not manager.file("/etc/systemd/system/agentd.service").exists()
