"""`agentd status` and the queue, as a person reads them; what stands on the page is tested with the page."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from agentd.api.shapes import JobShape
from agentd.api.status_shapes import StatusShape
from agentd.errors import EmptyInput
from agentd.paths import Paths
from agentd.records import Priority
from agentd.store import queue, results
from agentd.store.database import Database, Store
from tests.cli.conftest import Cli
from tests.making import NOW, make_document, make_event, make_result
from tests.shapes import check_shape
from tests.store.test_migrations import RELEASED, restore


def add(db: Database, source: str, **given: Any) -> int:
    job_id = queue.add(db, make_event(source, source, **given), "hash", "main", NOW)
    assert job_id is not None
    return job_id


@pytest.fixture
def backlog(fake: Paths) -> list[int]:
    """One result that took 20 seconds of the engine, and three queued jobs."""
    store = Store(fake.database)
    db = store._db
    add(db, "/done.md")
    job = queue.claim(db, "me", "main", NOW)
    assert job is not None
    results.complete(db, job, "me", "hash", make_result(engine_seconds=20.0), make_document(), NOW)
    ids = [add(db, "/late.md", priority=Priority.BACKFILL), add(db, "/a.md"), add(db, "/b.md")]
    store.close()
    return ids


def test_a_queued_job_is_shown_with_its_place_and_the_work_until_it_is_done(cli: Cli, backlog: list[int]) -> None:
    listed = cli("jobs", "list", "--json").json
    check_shape(listed, list[JobShape])
    places = {job["source"]: (job["position"], job["eta_seconds"]) for job in listed}
    assert places == {"/done.md": (None, None), "/a.md": (1, 20.0), "/b.md": (2, 40.0), "/late.md": (3, 60.0)}
    assert "queued 3, about 60 s of work  tag" in cli("jobs").out
    shown = cli("jobs", "show", str(backlog[0])).out
    assert "place     3, about 60 s of work\n" in shown
    assert "position" not in shown
    assert cli("jobs", "show", str(backlog[0]), "--json").json["position"] == 3
    assert "place" not in cli("jobs", "show", "1").out


def test_a_place_without_any_result_yet_has_no_time(cli: Cli, fake: Paths) -> None:
    store = Store(fake.database)
    job_id = add(store._db, "/a.md")
    store.close()
    assert "place     1\n" in cli("jobs", "show", str(job_id)).out


def test_status_without_a_daemon_tells_the_work_that_waits_for_one(cli: Cli, backlog: list[int]) -> None:
    assert cli("status", "--json").json["eta_seconds"] == 60.0
    assert "3 queued, 1 done; about 60 s of work\n" in cli("status").out


def test_a_home_without_a_database_has_no_work(cli: Cli, fake: Paths) -> None:
    assert cli("status", "--json").json["eta_seconds"] == 0.0
    assert "jobs  none yet\n" in cli("status").out


def test_status_without_a_daemon_tells_the_queue_by_priority_and_what_was_given_up_last(
    cli: Cli, fake: Paths, backlog: list[int]
) -> None:
    store = Store(fake.database)
    add(store._db, "/empty.md", refusal=EmptyInput("/empty.md is empty", hint="rm /empty.md"))
    store.close()
    shape = cli("status", "--json").json
    check_shape(shape, StatusShape)
    assert shape["queue"] == [
        {"priority": "interactive", "queued": 0, "running": 0, "eta_seconds": 0.0},
        {"priority": "triggered", "queued": 2, "running": 0, "eta_seconds": 40.0},
        {"priority": "backfill", "queued": 1, "running": 0, "eta_seconds": 60.0},
        {"priority": "paused", "queued": 0, "running": 0, "eta_seconds": None},
    ]
    assert [job["source"] for job in shape["last_errors"]] == ["/empty.md"]
    shown = cli("status").out
    assert (
        "    triggered    2 queued, done in about 40 s\n    backfill     1 queued, done in about 60 s\n" in shown
    )
    assert " failed job 5 tag: /empty.md is empty\n    next: agentd jobs list --state failed\n" in shown


@pytest.mark.parametrize("fixture", RELEASED[:-1], ids=lambda fixture: fixture.stem)
def test_status_without_a_daemon_reads_a_database_of_an_earlier_agentd_and_leaves_it(
    cli: Cli, fake: Paths, fixture: Path
) -> None:
    restore(fixture, fake.database)
    ran = cli("status")
    assert ran.code == 3
    assert "2 queued, 1 done, 1 failed" in ran.out
    assert "the database is of an earlier agentd: the next start brings it up to" in ran.out
    check_shape(cli("status", "--json").json, StatusShape)
    assert not list(fake.database.parent.glob("*-schema-*"))


@pytest.mark.parametrize("words", [["--watch"], ["--watch", "--json"]])
def test_watching_is_refused_where_there_is_no_terminal(cli: Cli, fake: Paths, words: list[str]) -> None:
    ran = cli("status", *words)
    assert ran.code == 2
    assert ran.err == (
        "error: --watch is for a terminal; `agentd status --json` is for programs\nnext:  agentd status --help\n"
    )


class Terminal:
    """`agentd status --watch` on a terminal of its own."""

    def __init__(self, columns: int, rows: int, **environment: str) -> None:
        self.leader, follower = pty.openpty()
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        words = [sys.executable, "-m", "agentd", "status", "--watch", "--interval", "0.1"]
        env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            words, stdin=follower, stdout=follower, stderr=follower, env=env | environment, start_new_session=True
        )
        os.close(follower)
        self.seen = ""

    def wait(self, condition: Callable[[str], bool]) -> str:
        """What was drawn, once that is so."""
        deadline = time.monotonic() + 30
        while not condition(self.seen):
            assert time.monotonic() < deadline, self.seen[-3000:]
            if select.select([self.leader], [], [], 0.5)[0]:
                try:
                    self.seen += os.read(self.leader, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    assert condition(self.seen), self.seen[-3000:]
        return self.seen

    def screens(self) -> list[list[str]]:
        """The pages as they were drawn, whole ones only."""
        return [
            [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in drawn.split("\r\n")]
            for drawn in self.seen.split("\x1b[H")[1:-1]
        ]


@pytest.fixture
def watch() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []
    # A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
        made.append(Terminal(columns, rows, **environment))
        return made[-1]

    yield start
    signal.signal(signal.SIGINT, before)
    for terminal in made:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.leader)


def test_the_watched_page_is_drawn_again_and_ends_cleanly_on_ctrl_c(
    fake: Paths, watch: Callable[..., Terminal], backlog: list[int]
) -> None:
    terminal = watch(60, 12)
    terminal.wait(lambda seen: seen.count("\x1b[H") > 3)
    for screen in terminal.screens():
        assert len(screen) == 12, "the whole terminal, and nothing scrolls"
        assert all(len(line) <= 60 for line in screen)
        assert screen[0] == "agentd is not running"
        assert screen[-1].endswith(" every 0.1 s; Ctrl-C ends")
    store = Store(fake.database)
    add(store._db, "/more.md")
    store.close()
    terminal.wait(lambda seen: "3 queued, done in about 60 s" in seen)
    terminal.process.send_signal(signal.SIGINT)
    seen = terminal.wait(lambda seen: seen.endswith("\x1b[?25h\x1b[?1049l"))
    assert terminal.process.wait(30) == 0
    assert "Traceback" not in seen


def test_the_watched_page_says_what_is_wrong_and_goes_on_once_it_is_mended(
    fake: Paths, watch: Callable[..., Terminal]
) -> None:
    config = fake.config.read_text()
    terminal = watch()
    terminal.wait(lambda seen: "agentd is not running" in re.sub(r"\x1b\[[0-9;]*m", "", seen))
    fake.config.write_text("wotch: []\n")
    terminal.wait(lambda seen: "unknown key `wotch`" in seen)
    before = len(terminal.seen)
    fake.config.write_text(config)
    terminal.wait(lambda seen: "not running" in seen[before:])


def test_without_colours_the_watched_page_only_moves_the_cursor(
    fake: Paths, watch: Callable[..., Terminal]
) -> None:
    terminal = watch(NO_COLOR="1")
    terminal.wait(lambda seen: seen.count("\x1b[H") > 2)
    assert re.findall(r"\x1b\[[0-9;]*m", terminal.seen) == []


def agentd(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "agentd", *words], check=True, capture_output=True, timeout=60)


def test_a_watched_page_follows_a_daemon_that_comes_and_goes(fake: Paths, watch: Callable[..., Terminal]) -> None:
    terminal = watch()
    terminal.wait(lambda seen: "not running" in seen)
    agentd("start", "--detach")
    try:
        terminal.wait(lambda seen: "(pid " in seen)
    finally:
        agentd("stop")
    came = terminal.seen.index("(pid ")
    terminal.wait(lambda seen: "not running" in seen[came:])
    assert terminal.process.poll() is None


def test_without_a_daemon_nobody_knows_what_jobs_wait_for(cli: Cli, backlog: list[int]) -> None:
    assert {job["waits_for"] for job in cli("jobs", "list", "--json").json} == {None}
    assert cli("status", "--json").json["waiting"] is None
