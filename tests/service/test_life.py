"""The unit for real: a user's systemd runs it, with the sandbox that it asks for.

The tests share one manager; each begins with a service that is installed and runs with the usual config.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentd
from agentd.service.systemd import user_unit
from tests.service.making import make_machine, make_needs
from tests.service.managers import HOME, UID, Manager, user_manager
from tests.waiting import wait_for

CONFIG = """\
models: {{main: {{path: {model}}}}}
watch:
  - {{path: ~/Notes, task: note-tagging, settle: 100ms, apply: auto}}
{more}
vocabularies: {{tags: [python, garden]}}
"""
ALL_GPUS = ("nvidiactl", "dri", "kfd")
LETTERS = "  - {path: ~/Letters, task: summarise, settle: 100ms}"
# What a person may change without the next install losing it; short, so that the tests are.
DROP_IN = "[Service]\nRestartSec=200ms\nWatchdogSec=3\nStandardError=append:%h/daemon.log\n"


class Machine:
    """A user with a home, a config and a manager."""

    def __init__(self, manager: Manager) -> None:
        self.manager = manager
        self.agentd, self.show, self.systemctl = manager.agentd, manager.show, manager.systemctl

    def put(self, name: str, text: str) -> Path:
        """A file of the user's."""
        self.manager.run("mkdir", "-p", str((HOME / name).parent))
        file = self.manager.file(HOME / name)
        file.write_text(text)
        os.chown(file, UID, UID)
        return file

    def configure(self, model: str = "fake", more: str = LETTERS) -> None:
        self.put(".config/agentd/config.yaml", CONFIG.format(model=model, more=more))

    def status(self) -> Any:
        return json.loads(self.agentd("service", "status", "--json", code=None).stdout)

    def daemon(self) -> Any:
        return json.loads(self.agentd("status", "--json", code=None).stdout)

    @property
    def pid(self) -> int:
        """The daemon's, as the manager counts."""
        return int(self.show("MainPID"))

    def kill(self, number: signal.Signals) -> None:
        self.manager.run("kill", f"-{int(number)}", str(self.pid))

    def wait_running_again(self, before: int) -> None:
        def again() -> bool:
            return self.show("ActiveState") == "active" and self.pid not in (0, before)

        wait_for(again, 60, "a daemon in place of the one before")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with user_manager(tmp_path_factory.mktemp("manager")) as manager:
        machine = Machine(manager)
        machine.put("Notes/.keep", "")
        machine.put("Letters/.keep", "")
        machine.put(".ssh/id", "a key")
        machine.put(".config/systemd/user/agentd.service.d/override.conf", DROP_IN)
        yield machine


@pytest.fixture
def machine(started: Machine) -> Machine:
    started.configure()
    started.agentd("service", "install", "--yes")
    return started


def test_install_without_a_terminal_writes_nothing_unless_it_may(machine: Machine) -> None:
    machine.agentd("service", "uninstall")
    done = machine.agentd("service", "install", code=1)
    assert "would write" in done.stderr
    assert 'ReadWritePaths="-/home/tester/Notes"' in done.stderr
    assert "next:  agentd service install --yes" in done.stderr
    assert machine.status()["installed"] is False


def test_install_starts_a_daemon_that_says_it_is_ready(machine: Machine) -> None:
    machine.agentd("service", "uninstall")
    done = machine.agentd("service", "install", "--yes")
    status = machine.status()
    assert (status["active"], status["enabled"], status["current"]) == (True, True, True)
    assert status["told"].startswith("ready")
    assert status["pid"] == machine.daemon()["pid"]
    assert "agentd is running" in done.stderr


def test_a_second_install_has_nothing_to_change(machine: Machine) -> None:
    before = machine.pid
    done = machine.agentd("service", "install")
    assert "nothing to change" in done.stderr
    assert machine.pid == before


def test_the_daemon_reaches_what_the_config_needs_and_nothing_else(machine: Machine) -> None:
    mounts = {}
    for line in machine.manager.run("cat", f"/proc/{machine.pid}/mountinfo").stdout.splitlines():
        fields = line.split()
        mounts[fields[4]] = fields[5].split(",")[0]
    assert mounts["/home/tester/Notes"] == "rw"
    assert mounts["/home/tester/.local/share/agentd"] == "rw"
    assert mounts["/home"] == "ro"
    assert mounts["/"] == "ro"
    assert "/home/tester/.ssh" in mounts, "it is hidden behind a mount of its own"
    assert "/home/tester/Letters" not in mounts, "it is read only as all of the home is"
    root = f"/proc/{machine.pid}/root"
    assert machine.manager.run("cat", f"{root}/home/tester/.ssh/id", code=1).stdout == ""
    inner, outer = (machine.manager.run("readlink", f"/proc/{pid}/ns/net").stdout for pid in (machine.pid, "self"))
    assert inner != outer, "without a webhook there is no network"
    status = machine.manager.run("cat", f"/proc/{machine.pid}/status").stdout
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status


def test_a_note_is_tagged_inside_the_sandbox(machine: Machine) -> None:
    note = machine.put("Notes/pears.md", "# Pears in the garden\n\nPrune the pear tree.\n")
    wait_for(lambda: "tags:" in note.read_text(), 60, "tags in the note")
    machine.put("Letters/letter.md", "# A letter\n\nThe meeting is on Monday.\n")
    wait_for(lambda: machine.daemon()["jobs"]["done"] >= 2, 60, "the summary of a letter that is only read")


def test_a_folder_that_the_unit_does_not_know_yet_is_not_written_to(machine: Machine) -> None:
    machine.configure(more=LETTERS.replace("summarise", "note-tagging").replace("settle", "apply: auto, settle"))
    machine.systemctl("reload", "agentd")
    wait_for(lambda: "note-tagging" in str(machine.daemon()["watches"][1]), 30, "the other task")
    letter = machine.put("Letters/late.md", "# The garden\n\nA letter about the garden.\n")

    def refused() -> list[str]:
        changes = json.loads(machine.agentd("changes", "list", "--json").stdout)
        return [change["error"] for change in changes if change["path"] == str(HOME / "Letters/late.md")]

    wait_for(lambda: any(refused()), 60, "a change that cannot be made")
    assert "Read-only file system" in refused()[0]
    assert "tags:" not in letter.read_text()
    assert machine.status()["current"] is False


def test_a_reload_takes_the_new_config(machine: Machine) -> None:
    before = machine.pid
    machine.configure(more="")
    machine.systemctl("reload", "agentd")
    wait_for(lambda: len(machine.daemon()["watches"]) == 1, 30, "one watch less")
    assert machine.pid == before


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_daemon_that_crashes_is_started_again(machine: Machine, number: signal.Signals) -> None:
    before, restarts = machine.pid, machine.status()["restarts"]
    machine.kill(number)
    machine.wait_running_again(before)
    assert machine.status()["restarts"] == restarts + 1
    assert "started again" in machine.agentd("service", "status").stdout


def test_a_daemon_that_hangs_is_ended_by_the_watchdog_and_started_again(machine: Machine) -> None:
    before = machine.pid
    machine.kill(signal.SIGSTOP)
    machine.wait_running_again(before)
    assert machine.daemon()["ready"]


def test_restart_goes_through_the_manager(machine: Machine) -> None:
    before = machine.pid
    done = machine.agentd("restart")
    assert "as a service" in done.stderr
    assert machine.pid not in (0, before)
    assert machine.daemon()["pid"] == machine.pid


def stop(machine: Machine) -> None:
    machine.agentd("stop")
    wait_for(lambda: machine.show("ActiveState") == "inactive", 30, "the end of the unit")


def test_a_stop_is_obeyed_and_lasts(machine: Machine) -> None:
    stop(machine)
    assert machine.show("Result") == "success"
    done = machine.agentd("service", "status", code=3)
    assert "next:  systemctl --user start agentd" in done.stderr


def test_a_broken_config_is_not_tried_again_and_again(machine: Machine) -> None:
    stop(machine)
    machine.put(".config/agentd/config.yaml", "models: {main: {path: fake}}\nwacht: []\n")
    machine.systemctl("start", "agentd", code=1)
    wait_for(lambda: machine.show("ActiveState") == "failed", 30, "a failed unit")
    assert (machine.show("ExecMainStatus"), machine.show("NRestarts")) == ("4", "0")
    assert machine.status()["current"] is None
    assert "config.yaml:2" in machine.agentd("service", "install", "--yes", code=4).stderr


def test_the_starter_model_runs_inside_the_sandbox(machine: Machine) -> None:
    machine.put("Letters/letter.md", "# A letter\n\nThe meeting is on Monday.\n")
    machine.configure(model="starter")
    machine.agentd("restart")
    assert machine.daemon()["models"]["main"]["loaded"]
    result = json.loads(machine.agentd("run", "summarise", str(HOME / "Letters/letter.md"), "--json").stdout)
    assert not result[0]["fake"]


def test_a_config_that_needs_more_makes_the_unit_old(machine: Machine) -> None:
    machine.put("Filed/.keep", "")
    machine.configure(more="actions: {targets: {letters: ~/Filed}}")
    assert machine.status()["current"] is False
    assert "its unit is for another config" in machine.agentd("reload").stderr
    assert "asks for another unit now: agentd service install" in machine.agentd("service", "status").stdout
    before = machine.pid
    done = machine.agentd("service", "install", "--yes")
    assert '+ReadWritePaths="-/home/tester/Filed"' in done.stderr
    assert machine.status()["current"] is True
    assert machine.pid != before


@pytest.mark.parametrize(
    ("network", "gpus", "namespaces"),
    [(True, (), True), (False, ALL_GPUS, True), (True, ALL_GPUS, False)],
    ids=["network", "gpu", "without namespaces"],
)
def test_other_variants_of_the_unit_start_as_well(
    machine: Machine, network: bool, gpus: tuple[str, ...], namespaces: bool
) -> None:
    own = (HOME / ".local/share/agentd", HOME / ".local/state/agentd", HOME / "Notes")
    needed = make_needs(writable=own, readable=(HOME / ".config/agentd",), network=network)
    code = {"python": Path(sys.executable), "package": Path(agentd.__file__).parent}
    here = make_machine(home=HOME, environment={}, gpus=gpus, namespaces=namespaces, **code)
    machine.put(".config/systemd/user/agentd.service", user_unit(needed, here))
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "agentd")
    assert machine.daemon()["pid"] == machine.pid


def test_a_daemon_that_was_detached_is_in_the_way_and_is_named(machine: Machine) -> None:
    stop(machine)
    machine.agentd("start", "--detach")
    done = machine.agentd("service", "install", "--yes", code=1)
    assert "not as a service" in done.stderr
    assert "next:  agentd stop && agentd service install" in done.stderr
    machine.agentd("stop")


def test_uninstall_removes_the_unit_and_keeps_the_results(machine: Machine) -> None:
    done = machine.agentd("service", "uninstall")
    assert "kept     /home/tester/.local/share/agentd/agentd.db (results)" in done.stderr
    assert not machine.status()["installed"]
    assert machine.pid == 0
    assert machine.manager.file(HOME / ".local/share/agentd/agentd.db").exists()
    assert "there is no service" in machine.agentd("service", "uninstall").stderr
