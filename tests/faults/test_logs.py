"""Fault 15: a log is renamed or copied and emptied, while the daemon that follows it is killed again and again.

Expected outcome: every line is counted once. What a file that got the inode of another comes to is tested with the
follower alone, in tests/logs/test_rotated.py: no file system gives an inode on demand.
"""

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.acceptance.test_logs import CONFIG, counted, stamp
from tests.logs.following import rotate
from tests.waiting import wait_for

KINDS = ("alpha", "beta", "gamma", "delta")


class Writer:
    """A program that logs, and a logrotate that moves or empties its file."""

    def __init__(self, log: Path, rng: random.Random) -> None:
        self.log = log
        self.rng = rng
        self.written = Counter[str]()

    def write(self, lines: int) -> None:
        with self.log.open("a") as file:
            for _ in range(lines):
                kind = self.rng.choice(KINDS)
                number = self.written.total()
                file.write(f"{stamp(number // 50)} INFO app: {kind} took {number} ms\n")
                self.written[kind] += 1

    def rotate(self) -> None:
        if self.log.exists():
            rotate(self.log)

    def truncate(self, daemon: Daemon) -> None:
        """As copytruncate does it, but for its race: only what was read and committed is thrown away."""
        inode = str(self.log.stat().st_ino) if self.log.exists() else ""
        size = self.log.stat().st_size if inode else 0
        if size:
            sql = f"SELECT 1 FROM log_marks WHERE inode = '{inode}' AND offset = {size}"
            wait_for(lambda: daemon.query_early(sql), what="all of it committed")
            os.truncate(self.log, 0)


def follow_through_kills(daemon: Daemon, writer: Writer, kills: int) -> None:
    """The daemon is killed again and again while a log is written, moved and emptied."""
    rng = writer.rng
    writer.write(10)
    daemon.start()
    wait_for(lambda: counted(daemon), what="a beginning")
    daemon.stop()
    for _ in range(kills):
        daemon.start(ready=False)
        for _ in range(rng.randrange(1, 6)):
            writer.write(rng.randrange(1, 400))
            chance = rng.random()
            if chance < 0.2:
                writer.rotate()
            elif chance < 0.35:
                writer.truncate(daemon)
        behind = rng.randrange(writer.written.total())
        wait_for(lambda: sum(counted(daemon).values()) >= behind, 60, "some of it counted")  # noqa: B023
        assert daemon.kill() == -signal.SIGKILL
        writer.write(rng.randrange(100))
    daemon.start()
    wait_for(lambda: sum(counted(daemon).values()) >= writer.written.total(), 60, "all of it counted")
    daemon.stop()
    assert counted(daemon) == dict(writer.written)
    assert daemon.query("SELECT sum(count) FROM log_buckets") == [(writer.written.total(),)]
    assert daemon.query("PRAGMA integrity_check") == [("ok",)]


def test_eight_kills_lose_no_line_and_count_none_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    log = tmp_path / "app.log"
    follow_through_kills(make_daemon(CONFIG.format(log=log)), Writer(log, rng), 8)


@pytest.mark.slow
def test_a_hundred_kills_lose_no_line_and_count_none_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    log = tmp_path / "app.log"
    follow_through_kills(make_daemon(CONFIG.format(log=log)), Writer(log, rng), 100)
