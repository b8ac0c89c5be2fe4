"""Fault 11: another program holds the database's write lock.

Expected outcome: reading goes on, so the daemon answers; nothing fails and no duty is started again; what came
meanwhile is done once when the lock is let go.
"""

import sqlite3
import time

import pytest

from tests.acceptance.daemon import Daemon


def hold_the_lock(daemon: Daemon, seconds: float) -> None:
    daemon.write("before.md")
    daemon.wait_done(1)
    connection = sqlite3.connect(daemon.database, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(20):
            daemon.write(f"meanwhile-{number}.md")
        until, answers = time.monotonic() + seconds, 0
        while time.monotonic() < until or answers < 20:
            assert daemon.status()["ready"]
            answers += 1
        assert daemon.counts() == {"done": 1}
    finally:
        connection.close()
    daemon.wait_done(21)
    daemon.check_once_each(21)
    assert {name for name, duty in daemon.status()["duties"].items() if duty["restarts"]} == set()
    daemon.stop()


def test_a_write_lock_from_outside_stops_no_answer_and_loses_nothing(daemon: Daemon) -> None:
    hold_the_lock(daemon, 3.0)


@pytest.mark.slow
def test_a_write_lock_of_half_a_minute_from_outside_stops_no_answer_and_loses_nothing(daemon: Daemon) -> None:
    hold_the_lock(daemon, 30.0)
