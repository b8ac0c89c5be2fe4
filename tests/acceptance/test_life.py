"""Starting, stopping and everything between, with real signals."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import date

import psutil
import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon, has_ended
from tests.waiting import wait_for


def test_start_restart_and_stop_as_a_person_types_them(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    started: list[psutil.Process] = []
    try:
        for command in (["start", "--detach"], ["restart"]):
            done = daemon.agentd(*command)
            assert done.returncode == 0, done.stderr
            started.append(psutil.Process(daemon.json("status")["pid"]))
            assert f"(pid {started[-1].pid})" in done.stderr
        wait_for(lambda: has_ended(started[0]))
        stopped = daemon.agentd("stop")
        assert (stopped.returncode, stopped.stderr) == (0, f"agentd has stopped (pid {started[1].pid})\n")
        wait_for(lambda: has_ended(started[1]))
        assert not list(daemon.home.rglob("*.sock"))
        again = daemon.agentd("stop")
        assert (again.returncode, again.stderr) == (
            3,
            "error: The daemon is not running.\nnext:  agentd start --detach\n",
        )
    finally:
        for process in started:
            if process.is_running():
                process.kill()


def test_a_detached_start_that_fails_says_the_daemons_last_words(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.database.write_bytes(b"this is no database at all, whatever its name says" * 20)
    done = daemon.agentd("start", "--detach")
    assert done.returncode == 1
    assert "did not start" in done.stderr
    assert "file is not a database" in done.stderr
    assert f"next:  less '{daemon.home}/agentd.log'" in done.stderr


def test_the_copy_of_a_day_is_a_way_back_from_a_database_that_is_broken(daemon: Daemon) -> None:
    copy = daemon.home / f"agentd-day-{date.today():%Y%m%d}.db"
    wait_for(copy.exists)
    assert daemon.json("status")["problems"] == []
    daemon.stop()
    daemon.database.write_bytes(b"this is no database at all, whatever its name says" * 20)
    doctor = daemon.agentd("doctor")
    assert (doctor.returncode, str(copy) in doctor.stdout) == (1, True), doctor.stdout
    shutil.copy(copy, daemon.database)
    daemon.start()
    daemon.write("pears.md")
    wait_for(lambda: daemon.counts() == {"done": 1})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_jobs_in_hand_finish_and_leaves_the_others_queued(daemon: Daemon, number: int) -> None:
    child = daemon.child
    hands = daemon.fill_hands()
    for index in range(2):
        daemon.write(f"note-{index}.md")
    wait_for(lambda: daemon.counts() == {"running": hands, "queued": 2}, what=f"{daemon.counts()}")
    assert daemon.process is not None
    daemon.process.send_signal(number)
    wait_for(lambda: ": stopping" in daemon.log)
    child.resume()
    assert daemon.process.wait(30) == 0
    assert daemon.counts() == {"done": hands, "queued": 2}
    assert daemon.query("SELECT max(attempts) FROM jobs WHERE state = 'queued'") == [(0,)]
    assert has_ended(child)
    assert "Traceback" not in daemon.log


def test_a_second_sigterm_ends_at_once_and_the_next_start_frees_the_job(daemon: Daemon) -> None:
    child = daemon.child
    child.suspend()
    daemon.write("note.md")
    wait_for(lambda: daemon.counts().get("running", 0))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    wait_for(lambda: ": stopping" in daemon.log)
    assert daemon.kill(signal.SIGTERM) == 1
    child.kill()
    assert daemon.counts() == {"running": 1}
    daemon.start()
    daemon.wait_done(1)
    daemon.check_once_each(1)
    daemon.stop()


def test_a_job_that_outlasts_the_drain_goes_back_to_the_queue(daemon: Daemon) -> None:
    child = daemon.child
    child.suspend()
    daemon.write("note.md")
    wait_for(lambda: daemon.counts().get("running", 0))
    assert daemon.kill(signal.SIGTERM) == 0
    assert daemon.query("SELECT state, attempts, owner FROM jobs") == [("queued", 0, None)]
    assert has_ended(child)


def test_sigterm_while_the_model_is_loading_ends_well(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(model="starter")
    daemon.write("note.md")
    daemon.start(ready=False)
    status = wait_for(lambda: (found := daemon.status()) and found["models"]["main"]["child_pid"] and found)
    child = psutil.Process(status["models"]["main"]["child_pid"])
    child.suspend()
    wait_for(lambda: daemon.counts() == {"queued": 1})
    assert not daemon.status()["models"]["main"]["loaded"]
    assert daemon.kill(signal.SIGTERM) == 0
    assert has_ended(child)
    assert daemon.counts() == {"queued": 1}
    assert "Traceback" not in daemon.log


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_a_run_without_a_daemon_ends_quietly(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(model="starter")
    note = daemon.write("long.txt", "Prune the pear tree in February, before the sap rises.\n" * 100)
    run = subprocess.Popen(
        [sys.executable, "-m", "agentd", "run", "summarise", str(note)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: daemon.counts().get("running", 0), what="a job in hand")
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to the engine child too
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert daemon.query("SELECT state, owner FROM jobs") == [("cancelled", None)]
