"""A real daemon tells people, and tells each thing once, whenever it is killed."""

import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.receiving import Program, Receiver
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake}}
watch:
  - {{path: "{folder}", task: note-tagging, settle: 100ms}}
logs:
  - {{path: "{log}", task: null}}
actions:
  webhooks:
    hook: {{url: "{url}/hook"}}
vocabularies:
  tags: [garden]
notify:
  rules:
    - {{about: finding, severity: error, to: [phone]}}
    - {{about: quarantined, to: [phone, desktop]}}
    - {{about: failed, to: [phone]}}
  to: {{phone: {{webhook: hook}}}}
  at_most: 1000 per hour
  group: {group}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    made = Program(tmp_path / "bin" / "notify-send")
    monkeypatch.setenv("PATH", f"{made.path.parent}{os.pathsep}{os.environ['PATH']}")
    return made


def configure(daemon: Daemon, receiver: Receiver, group: str = "0s") -> None:
    log = daemon.home.parent / "app.log"
    text = CONFIG.format(folder=daemon.folder, log=log, url=receiver.url, group=group)
    (daemon.home / "config.yaml").write_text(text)


def start(daemon: Daemon) -> None:
    daemon.start()
    wait_for(lambda: len(daemon.query_early("SELECT 1 FROM notice_rules")) == 3, what="a first look")


def fail_a_job(daemon: Daemon, name: str) -> None:
    """A file that no task can read."""
    (daemon.folder / name).write_bytes(b"\x00\x01" * 100)


def refs(receiver: Receiver) -> list[int]:
    """The ids of the jobs that were told, message by message."""
    return [one["ref"] for got in receiver.received for one in got.body["notices"]]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="notify-send is what shows notifications on Linux")
def test_a_quarantined_job_is_told_at_every_place(
    make_daemon: MakeDaemon, receiver: Receiver, shown: Program
) -> None:
    daemon = make_daemon()
    configure(daemon, receiver)
    start(daemon)
    held = daemon.child
    held.suspend()
    daemon.write("pears.md", "# Pears\n\n" + "Prune the pear tree in February, before the sap rises.\n" * 20)
    wait_for(lambda: daemon.counts().get("running"), what="a job in hand")
    daemon.kill()
    held.resume()  # which ends it
    connection = sqlite3.connect(daemon.database, timeout=30)
    connection.execute("UPDATE jobs SET crashes = 2")  # as if the engine had crashed twice under it
    connection.commit()
    connection.close()
    config = (daemon.home / "config.yaml").read_text()
    (daemon.home / "config.yaml").write_text(config.replace("path: fake", "path: starter"))
    start(daemon)
    child = daemon.child
    idle = child.cpu_times().user
    wait_for(lambda: daemon.counts().get("running"), what="the job in hand again")
    wait_for(lambda: child.cpu_times().user > idle + 0.2, what="the child to work on it")
    child.send_signal(signal.SIGSEGV)
    wait_for(lambda: receiver.received and shown.calls, what="both places told")
    (got,) = receiver.received
    assert got.body["title"] == "job 1 is quarantined"
    assert "note-tagging on " in got.body["text"]
    assert shown.calls[0]["args"][2] == "job 1 is quarantined"
    wait_for(lambda: daemon.query("SELECT count(*) FROM notice_messages WHERE state = 'sent'") == [(2,)])
    listed = daemon.json("notify", "list")
    assert {(one["place"], one["state"], one["ref"]) for one in listed} == {
        ("phone", "told", 1),
        ("desktop", "told", 1),
    }
    daemon.stop()


def test_a_finding_in_a_log_is_told_with_the_command_that_shows_it(
    make_daemon: MakeDaemon, receiver: Receiver
) -> None:
    daemon = make_daemon()
    log = daemon.home.parent / "app.log"
    log.write_text(
        "".join(f"2026-06-01 00:{n // 60:02}:{n % 60:02} INFO app: request {n} is done\n" for n in range(600))
    )
    configure(daemon, receiver)
    (daemon.home / "config.yaml").write_text(
        (daemon.home / "config.yaml").read_text().replace("task: null", "task: null, start: beginning")
    )
    start(daemon)
    with log.open("a") as file:
        for n in range(40):
            file.write(f"2026-06-01 01:{n:02}:00 ERROR app: out of memory: killed process {n} (web) <!channel>\n")
    wait_for(lambda: receiver.received, 60, "a finding told")
    told = receiver.received[0].body
    assert told["notices"][0]["about"] == "finding"
    assert "out of memory: killed process <*> (web)" in told["text"]
    assert daemon.agentd("logs", "show", str(told["notices"][0]["ref"])).returncode == 0
    daemon.stop()


def test_a_daemon_that_is_killed_before_it_told_tells_it_once(make_daemon: MakeDaemon, receiver: Receiver) -> None:
    daemon = make_daemon()
    configure(daemon, receiver, group="1d")
    start(daemon)
    fail_a_job(daemon, "a.md")
    wait_for(lambda: daemon.query("SELECT 1 FROM notices"), what="a notice")
    assert daemon.kill() == -signal.SIGKILL
    configure(daemon, receiver)
    for life in (2, 3):
        start(daemon)
        wait_for(lambda: receiver.received, what="it told")
        fail_a_job(daemon, f"{life}.md")
        wait_for(lambda: len(refs(receiver)) >= life, what="the next told")  # noqa: B023
        daemon.stop()
    assert refs(receiver) == [1, 2, 3]


def test_a_daemon_that_is_killed_while_it_tells_tells_it_again_with_the_same_id(
    make_daemon: MakeDaemon, receiver: Receiver
) -> None:
    daemon = make_daemon()
    configure(daemon, receiver)
    start(daemon)
    receiver.silent.set()
    fail_a_job(daemon, "a.md")
    wait_for(lambda: receiver.received, what="a message on its way")
    assert daemon.kill() == -signal.SIGKILL
    receiver.answer()
    start(daemon)
    wait_for(lambda: len(receiver.received) == 2, what="it told again")
    wait_for(lambda: daemon.query("SELECT 1 FROM notice_messages WHERE state = 'sent'"))
    daemon.stop()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_ten_kills_lose_nothing_and_tell_nothing_under_two_ids(
    make_daemon: MakeDaemon, receiver: Receiver, rng: random.Random
) -> None:
    daemon = make_daemon()
    configure(daemon, receiver)
    start(daemon)
    for life in range(10):
        for number in range(rng.randrange(1, 6)):
            fail_a_job(daemon, f"{life}-{number}.md")
        looks = rng.randrange(200)
        wait_for(lambda: daemon.counts().get("failed"), what="a failed job")
        for _ in range(looks):
            daemon.counts()
        assert daemon.kill() == -signal.SIGKILL
        daemon.start(ready=False)
    files = len(list(daemon.folder.iterdir()))
    wait_for(lambda: len(set(refs(receiver))) == files, 60, "all of them told")
    wait_for(lambda: not daemon.query("SELECT 1 FROM notice_messages WHERE state = 'sending'"), what="all noted")
    daemon.stop()
    told = {got.headers["webhook-id"]: got.body for got in receiver.received}
    assert all(told[got.headers["webhook-id"]] == got.body for got in receiver.received)
    once = [one["ref"] for body in told.values() for one in body["notices"]]
    assert sorted(once) == sorted(set(once))
    assert len(once) == files


def test_what_was_there_before_anybody_was_to_be_told_is_not_told(
    make_daemon: MakeDaemon, receiver: Receiver
) -> None:
    daemon = make_daemon()
    fail_a_job(daemon, "a.md")
    daemon.start()
    wait_for(lambda: daemon.counts().get("failed") == 1, what="a failed job")
    assert daemon.kill() == -signal.SIGKILL
    configure(daemon, receiver)
    start(daemon)
    fail_a_job(daemon, "b.md")
    wait_for(lambda: receiver.received, what="the new one told")
    daemon.stop()
    assert refs(receiver) == [2]


def test_rules_that_come_with_a_reload_are_followed_from_then_on(
    make_daemon: MakeDaemon, receiver: Receiver
) -> None:
    daemon = make_daemon()
    daemon.start()
    fail_a_job(daemon, "a.md")
    wait_for(lambda: daemon.counts().get("failed") == 1, what="a failed job")
    configure(daemon, receiver)
    assert daemon.agentd("reload").returncode == 0
    wait_for(lambda: len(daemon.query("SELECT 1 FROM notice_rules")) == 3, what="a look with the new rules")
    fail_a_job(daemon, "b.md")
    wait_for(lambda: receiver.received, what="the new one told")
    daemon.stop()
    assert refs(receiver) == [2]


def test_a_place_that_refuses_is_shown_in_the_status(make_daemon: MakeDaemon, receiver: Receiver) -> None:
    daemon = make_daemon()
    configure(daemon, receiver)
    receiver.status = 410
    start(daemon)
    fail_a_job(daemon, "a.md")
    wait_for(lambda: daemon.query("SELECT 1 FROM notice_messages WHERE state = 'failed'"), what="given up")
    shown = daemon.agentd("status")
    assert "phone was given up: 127.0.0.1 answered 410" in shown.stdout
    daemon.stop()
