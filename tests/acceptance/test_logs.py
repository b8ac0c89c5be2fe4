"""A log that is followed by a real daemon: findings, and answers."""

import json
from pathlib import Path

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake}}
logs:
  - {{path: "{log}", start: beginning}}
vocabularies:
  tags: [garden]
"""


def stamp(minute: int) -> str:
    return f"2026-06-{1 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00"


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
