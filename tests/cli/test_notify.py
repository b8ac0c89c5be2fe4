"""`agentd notify`: places are tried for real, and what was told is listed."""

import asyncio
import os
from pathlib import Path

import pytest

from agentd.paths import Paths
from agentd.records import timestamp
from agentd.store import notices
from agentd.store.database import Store
from agentd.store.notices import Notice
from tests.cli.conftest import Cli
from tests.receiving import Program, Receiver

CONFIG = """\
models:
  main: {{path: fake}}
actions:
  webhooks:
    hook: {{url: "{url}/my-topic", timeout: 5s}}
  commands:
    page: {{run: ["{program}"]}}
notify:
  rules: [{{about: finding, to: [{to}]}}]
  to:
    phone: {{webhook: hook, shape: ntfy}}
    pager: {{command: page}}
  {more}
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "page")


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setattr("sys.platform", "linux")
    made = Program(tmp_path / "bin" / "notify-send")
    monkeypatch.setenv("PATH", f"{made.path.parent}{os.pathsep}{os.environ['PATH']}")
    return made


def write(paths: Paths, receiver: Receiver, program: Program, to: str = "phone", more: str = "") -> None:
    paths.config.write_text(CONFIG.format(url=receiver.url, program=program.path, to=to, more=more))


def test_every_place_that_is_used_is_tried_and_the_desktop_where_a_rule_names_it(
    cli: Cli, paths: Paths, program: Program, shown: Program
) -> None:
    with Receiver() as receiver:
        write(paths, receiver, program)
        ran = cli("notify", "test")
        assert (ran.code, ran.out) == (0, "phone: delivered\npager: delivered\n")
        assert shown.calls == []
        write(paths, receiver, program, to="desktop")
        assert cli("notify", "test").out == "desktop: delivered\nphone: delivered\npager: delivered\n"
    (call,) = shown.calls
    assert call["args"][-2:] == [
        "agentd can reach you",
        "This is a test of the place desktop: what the config's rules ask for is told here.",
    ]
    assert receiver.received[0].body["topic"] == "my-topic"
    assert not paths.database.exists()


def test_what_went_wrong_is_told_for_each_place_with_the_next_command(
    cli: Cli, paths: Paths, program: Program, shown: Program
) -> None:
    program.broken.touch()
    with Receiver(status=403) as receiver:
        write(paths, receiver, program)
        ran = cli("notify", "test")
        assert ran.code == 1
        assert "phone: not delivered: 127.0.0.1 answered 403" in ran.out
        assert "pager: not delivered: " in ran.out
        assert ran.err == "next:  agentd config path\nnext:  agentd config path\n"
        one = cli("notify", "test", "phone", "--json")
    assert one.code == 1
    assert one.json == [
        {
            "place": "phone",
            "delivered": False,
            "error": "127.0.0.1 answered 403, which is final",
            "hint": "agentd config path",
        }
    ]


def test_a_place_that_is_not_there_is_refused_with_those_that_are(
    cli: Cli, paths: Paths, program: Program
) -> None:
    with Receiver() as receiver:
        write(paths, receiver, program)
    ran = cli("notify", "test", "fone")
    assert ran.code == 1
    assert "the config has no place `fone`: there is desktop, phone, pager" in ran.err


def test_without_any_place_the_desktop_is_tried(
    cli: Cli, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = cli("notify", "test")
    assert (ran.code, ran.out) == (1, "desktop: not delivered: notify-send is not installed\n")
    assert ran.err == "next:  apt install libnotify-bin\n"


def test_what_was_told_and_what_waits_is_listed_with_why(cli: Cli, paths: Paths, program: Program) -> None:
    with Receiver() as receiver:
        write(paths, receiver, program, more='quiet_hours: "00:00-23:59"')
    assert cli("notify", "list").err == "nothing was told yet\n"
    store = Store(paths.database)
    now = timestamp()
    made = [
        Notice(f"job {number} x", place, "failed", number, "warning", f"job {number} is failed", "why\x1b", now)
        for number, place in ((1, "phone"), (2, "pager"))
    ]
    asyncio.run(store.write(notices.record, 0, made))
    store.close()
    ran = cli("notify")
    assert "job 2 is failed: why\\x1b" in ran.out
    assert "waits" in ran.out
    assert "quiet hours, until " in ran.out
    listed = cli("notify", "list", "--json").json
    assert [(one["place"], one["state"], one["ref"], one["message"]) for one in listed] == [
        ("pager", "waits", 2, None),
        ("phone", "waits", 1, None),
    ]


def test_without_rules_it_is_said_that_nobody_is_told(cli: Cli, fake: Paths) -> None:
    assert cli("notify").err == "the config's `notify` has no rules: nobody is told\n"


def test_config_check_names_a_rule_whose_task_is_not_there(cli: Cli, paths: Paths) -> None:
    paths.config.write_text("notify:\n  rules:\n    - {about: failed, task: sumarise, to: [desktop]}\n")
    ran = cli("config", "check")
    assert ran.code == 4
    assert f"{paths.config}:3: there is no task `sumarise`" in ran.err
