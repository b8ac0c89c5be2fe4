"""Fault 13: the clock on the wall is set an hour on, and an hour back. Schedules and DST: tests/triggers.

No machine lets its clock be set for a test, and no namespace has one of its own: a library that is loaded before
the C library gives the daemon and its children another time, from a file that is changed while they run.

Expected outcome: what is in hand keeps its lease and is done once, whether it is suddenly an hour later or
earlier, and what comes afterwards is done.
"""

import contextlib
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentd.records import timestamp
from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

SOURCE = Path(__file__).with_name("set_clock.c")
HOUR = 3600


@pytest.fixture
def clocked(make_daemon: MakeDaemon, tmp_path: Path) -> tuple[Daemon, Path]:
    """A daemon, and the file that says how much its clock is off."""
    library, clock = tmp_path / "set_clock.so", tmp_path / "clock"
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("there is no C compiler")
    words = [compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clock.write_text("0")
    daemon = make_daemon()
    daemon.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(clock)}
    daemon.start()
    return daemon, clock


def step(clock: Path, seconds: int) -> None:
    part = clock.with_suffix(".part")
    part.write_text(str(seconds))
    part.rename(clock)


def lease(daemon: Daemon) -> datetime:
    ((until,),) = daemon.query("SELECT lease_until FROM jobs WHERE state = 'running'")
    return datetime.fromisoformat(until)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_loses_no_job_in_hand_and_does_nothing_twice(
    clocked: tuple[Daemon, Path], hours: int
) -> None:
    daemon, clock = clocked
    daemon.write("before.md")
    daemon.wait_done(1)
    child = daemon.child
    child.suspend()
    daemon.write("in-hand.md")
    wait_for(lambda: daemon.counts().get("running"), what="a job in hand")
    before = lease(daemon)
    step(clock, hours * HOUR)
    far = timedelta(minutes=30)
    wait_for(lambda: abs(lease(daemon) - before) > far, 60, "a heartbeat by the new clock")
    assert abs(lease(daemon) - datetime.now(UTC) - timedelta(hours=hours)) < far
    child.resume()
    daemon.wait_done(2)
    daemon.write("after.md")
    daemon.wait_done(3)
    step(clock, 0)
    daemon.write("back.md")
    daemon.wait_done(4)
    daemon.check_once_each(4)
    assert "Traceback" not in daemon.log
    daemon.stop()


def test_what_waits_for_its_next_try_does_not_wait_for_the_hour_to_come_again(
    clocked: tuple[Daemon, Path],
) -> None:
    daemon, clock = clocked
    daemon.stop()
    step(clock, HOUR)
    daemon.start()
    hands = daemon.fill_hands()
    daemon.write("waiting.md")
    wait_for(lambda: daemon.counts().get("queued"), what="a job that is not in hand")
    # As after a try that failed by the clock of then.
    due = timestamp(datetime.now(UTC) + timedelta(seconds=HOUR + 5))
    with contextlib.closing(sqlite3.connect(daemon.database, timeout=30, isolation_level=None)) as database:
        database.execute("UPDATE jobs SET not_before = ? WHERE state = 'queued'", [due])
    daemon.child.resume()
    daemon.wait_done(hands)
    step(clock, 0)
    daemon.wait_done(hands + 1)
    assert "the clock went back by " in daemon.log
    daemon.stop()
