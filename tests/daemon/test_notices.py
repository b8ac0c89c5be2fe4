"""The duty that tells people: on a real store, with real receivers, and a clock that is passed in."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agentd.daemon.agent import Agent
from agentd.daemon.notices import Notices, unreachable_places
from agentd.daemon.problems import Problem
from agentd.daemon.settings import Config
from agentd.errors import StoreBusy
from agentd.store import findings, notices
from tests.making import NOW, later
from tests.receiving import Program, Receiver
from tests.store.learned import finding
from tests.waiting import wait_until

RULES = [{"about": "finding", "to": ["phone"]}, {"about": "unwell", "to": ["phone"]}]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def configure(agent: Agent, url: str, **notify: Any) -> None:
    """Give the agent another config, as a reload would."""
    given = {"rules": RULES, "to": {"phone": {"webhook": "hook"}}, "group": "0s", **notify}
    actions = {"webhooks": {"hook": {"url": url, "timeout": "5s"}}}
    text = {"models": {"main": {"path": "fake"}}, "actions": actions, "notify": given}
    agent.bound = replace(agent.bound, config=Config.model_validate(text))


async def well() -> Sequence[Problem]:
    return ()


async def find(agent: Agent, *numbers: int) -> None:
    await agent.store.write(findings.put_findings, [finding(number) for number in numbers], NOW)


async def look_and_tell(duty: Notices, moment: datetime, clock: float = 0.0) -> None:
    await duty.look_at_self(moment, clock)
    await duty.look(moment)
    await duty.tell("phone", moment)


@contextlib.asynccontextmanager
async def running(duty: Notices) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(duty.run())
    yield task
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def titles(receiver: Receiver) -> list[str]:
    return [got.body["title"] for got in receiver.received]


async def test_what_happened_before_the_first_look_is_not_told_and_what_happens_then_is(
    agent: Agent, receiver: Receiver
) -> None:
    configure(agent, receiver.url)
    await find(agent, 1)
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    assert receiver.received == []
    await find(agent, 2)
    await look_and_tell(duty, later(1))
    assert [got.body["notices"][0]["ref"] for got in receiver.received] == [2]
    await look_and_tell(duty, later(2))
    await look_and_tell(Notices(agent, well), later(3))
    assert len(receiver.received) == 1


async def test_what_comes_in_quick_succession_is_one_message(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url, group="30s")
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    await find(agent, 1)
    await look_and_tell(duty, NOW)
    await find(agent, 2)
    await look_and_tell(duty, later(29))
    assert receiver.received == []
    await look_and_tell(duty, later(30))
    assert titles(receiver) == ["agentd: 2 findings"]


async def test_what_is_more_than_a_place_may_get_is_told_together(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url, at_most="2 per hour")
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    for minute in range(1, 6):
        await find(agent, minute)
        await look_and_tell(duty, later(60 * minute))
    assert len(receiver.received) == 2
    await look_and_tell(duty, later(3659))
    assert len(receiver.received) == 2
    await look_and_tell(duty, later(3660))
    assert titles(receiver)[2] == "agentd: 3 findings"


async def test_a_server_that_fails_is_tried_again_with_the_same_message(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url)
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    receiver.status = 503
    await find(agent, 1)
    await look_and_tell(duty, NOW)
    await find(agent, 2)
    await duty.look(NOW)
    message = await agent.store.read(notices.unsent, "phone")
    assert message is not None
    assert (message.attempts, message.error) == (1, "127.0.0.1 answered 503")
    assert message.hint == "agentd notify test phone"
    assert await unreachable_places(agent, NOW) == [
        "phone could not be told so far: 127.0.0.1 answered 503; next: agentd notify test phone"
    ]
    due = datetime.fromisoformat(message.not_before)
    receiver.status = 200
    await duty.tell("phone", due.replace(microsecond=0, second=0))
    assert len(receiver.received) == 1
    await duty.tell("phone", due)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    await duty.tell("phone", due)
    assert [one["ref"] for one in receiver.received[2].body["notices"]] == [2]


async def test_a_refusal_is_given_up_and_shown_and_holds_nothing_up(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url)
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    receiver.status = 404
    await find(agent, 1)
    await look_and_tell(duty, NOW)
    assert await unreachable_places(agent, NOW) == [
        "phone was given up: 127.0.0.1 answered 404, which is final; next: agentd notify test phone"
    ]
    receiver.status = 200
    await find(agent, 2)
    await look_and_tell(duty, later(1))
    assert len(receiver.received) == 2
    assert await unreachable_places(agent, NOW) == []


async def test_a_place_that_does_not_answer_keeps_no_other_waiting(
    agent: Agent, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    shown = Program(tmp_path / "bin" / "notify-send")
    monkeypatch.setenv("PATH", f"{shown.path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("agentd.daemon.notices.LOOK_SECONDS", 0.01)
    configure(agent, receiver.url, rules=[{"about": "finding", "to": ["phone", "desktop"]}])
    receiver.silent.set()
    async with running(Notices(agent, well)):
        await wait_until(lambda: agent.store.read(notices.configured))
        await find(agent, 1)
        await wait_until(lambda: len(receiver.received) == 1 and len(shown.calls) == 1)
        await find(agent, 2)
        await wait_until(lambda: len(shown.calls) == 2)
        assert len(receiver.received) == 1
        receiver.answer()


async def test_quiet_hours_hold_everything_back(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url, quiet_hours="00:00-23:59")
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    await find(agent, 1)
    for minute in (0, 600):
        await look_and_tell(duty, later(minute))
    assert receiver.received == []
    configure(agent, receiver.url)
    await look_and_tell(duty, later(1200))
    assert len(receiver.received) == 1


async def test_a_config_that_was_read_anew_counts_from_the_next_look_on(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url, rules=[])
    duty = Notices(agent, well)
    await find(agent, 1)
    await look_and_tell(duty, NOW)
    assert await agent.store.read(notices.untold, 10) == []
    configure(agent, receiver.url)
    await look_and_tell(duty, NOW)
    await find(agent, 2)
    await look_and_tell(duty, NOW)
    assert [got.body["notices"][0]["ref"] for got in receiver.received] == [2]


async def test_what_waits_for_a_place_that_is_gone_is_given_up(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url, group="30s")
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    await find(agent, 1)
    await duty.look(NOW)
    configure(agent, receiver.url, rules=[], to={})
    await look_and_tell(duty, later(60))
    (told,) = await unreachable_places(agent, NOW)
    assert "the config has no place `phone` any more; next: agentd config path" in told
    assert receiver.received == []


async def test_the_daemon_says_that_it_is_unwell_once_until_it_was_well_again(
    agent: Agent, receiver: Receiver
) -> None:
    configure(agent, receiver.url)
    there: list[Problem] = []

    async def problems() -> Sequence[Problem]:
        return there

    duty = Notices(agent, problems)
    there.append(Problem("disk /", "the disk is nearly full", "df -h /"))
    for second in range(0, 200, 10):
        await look_and_tell(duty, later(second), second)
    assert titles(receiver) == ["agentd is unwell"]
    assert receiver.received[0].body["text"] == "the disk is nearly full\nnext: df -h /"
    # Started again, it knows what it told; well for a while and unwell again, it tells that.
    duty = Notices(agent, problems)
    for second in range(200, 400, 10):
        await look_and_tell(duty, later(second), second)
    assert len(receiver.received) == 1
    fixed = there.pop()
    for second in range(400, 1100, 10):
        await look_and_tell(duty, later(second), second)
    there.append(fixed)
    for second in range(1100, 1300, 10):
        await look_and_tell(duty, later(second), second)
    assert len(receiver.received) == 2


async def test_a_stop_lets_what_is_being_told_come_to_its_end(
    agent: Agent, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.daemon.notices.LOOK_SECONDS", 0.01)
    configure(agent, receiver.url)
    receiver.silent.set()
    async with running(Notices(agent, well)) as task:
        await wait_until(lambda: agent.store.read(notices.configured))
        await find(agent, 1)
        await wait_until(lambda: receiver.received)
        task.cancel()
        receiver.answer()
    assert await agent.store.read(notices.waiting_places) == []


@contextlib.contextmanager
def locked(agent: Agent) -> Iterator[None]:
    """Another program holds the database, and nobody waits for it."""
    holder = sqlite3.connect(agent.store.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentd.store.database.BUSY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
async def test_that_the_database_cannot_be_written_is_told_once_all_the_same(
    agent: Agent, receiver: Receiver
) -> None:
    configure(agent, receiver.url)

    async def problems() -> Sequence[Problem]:
        return [Problem("database", "what was last to be written could not be", "df -h")]

    duty = Notices(agent, problems)
    await look_and_tell(duty, NOW)
    with locked(agent):
        for second in range(10, 100, 10):
            await duty.look_at_self(later(second), second)
        assert titles(receiver) == ["agentd is unwell"]
    await look_and_tell(duty, later(100), 100)
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("impatient")
async def test_what_was_told_and_could_not_be_noted_is_not_told_again(agent: Agent, receiver: Receiver) -> None:
    configure(agent, receiver.url)
    duty = Notices(agent, well)
    await look_and_tell(duty, NOW)
    await find(agent, 1)
    await duty.look(NOW)
    assert await agent.store.write(notices.gather, "phone", NOW)
    with locked(agent):
        for _ in range(3):
            with pytest.raises(StoreBusy):
                await duty.tell("phone", NOW)
    await duty.tell("phone", NOW)
    assert len(receiver.received) == 1
    assert await agent.store.read(notices.waiting_places) == []
