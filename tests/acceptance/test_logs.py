"""A log that is followed by a real daemon: findings, answers, and counts that survive every kill."""

import json
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.logs.following import rotate
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake}}
logs:
  - {{path: "{log}", start: beginning}}
vocabularies:
  tags: [garden]
"""
KINDS = ("alpha", "beta", "gamma", "delta")


def stamp(minute: int) -> str:
    return f"2026-06-{1 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00"


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


def counted(daemon: Daemon) -> dict[str, int]:
    rows = daemon.query_early("SELECT pattern, count FROM log_patterns")
    return {pattern.split()[0]: count for pattern, count in rows}


def test_a_log_that_grows_becomes_findings_with_answers(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"{stamp(n)} INFO app: request {n} is done\n" for n in range(600)))
    daemon = make_daemon(CONFIG.format(log=log))
    daemon.start()
    with log.open("a") as file:
        for n in range(40):
            file.write(f"{stamp(600 + n // 20)} ERROR app: out of memory: killed process {n} (web)\n")
    wait_for(lambda: daemon.query_early("SELECT 1 FROM results WHERE source GLOB 'log:*'"), 60, "an answer")
    wait_for(lambda: daemon.query("SELECT 1 FROM log_findings WHERE count = 40"), what="all of them")
    daemon.stop()
    ((source, pattern, count, examples, looked, behaviour),) = daemon.query(
        "SELECT source, pattern, count, examples, looked, behaviour FROM log_findings"
    )
    assert (source, pattern, count) == (str(log), "out of memory: killed process <*> (web)", 40)
    assert looked == behaviour
    text = log.read_bytes()
    for example in json.loads(examples):
        assert text[example["offset"] :].decode().startswith(example["line"])
    assert daemon.query("SELECT sum(count) FROM log_buckets") == [(640,)]
    assert daemon.query("SELECT lines FROM log_sources") == [(640,)]


def test_a_log_that_cannot_be_read_is_told_and_read_once_it_can(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    daemon = make_daemon(CONFIG.format(log=folder / "app.log"))
    daemon.start()
    folder.mkdir()
    (folder / "app.log").write_text(f"{stamp(1)} INFO app: alpha took 1 ms\n")
    wait_for(lambda: counted(daemon) == {"alpha": 1}, what="the line")
    daemon.stop()


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


def test_twenty_kills_lose_no_line_and_count_none_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    log = tmp_path / "app.log"
    follow_through_kills(make_daemon(CONFIG.format(log=log)), Writer(log, rng), 20)


@pytest.mark.slow
def test_a_hundred_kills_lose_no_line_and_count_none_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    log = tmp_path / "app.log"
    follow_through_kills(make_daemon(CONFIG.format(log=log)), Writer(log, rng), 100)
