"""A daemon keeps a copy of its database for each day, and says why there is none."""

import logging
import shutil
import sqlite3
from datetime import date, timedelta

import pytest

from agentd.daemon.agent import Agent
from agentd.daemon.backups import back_up_day
from agentd.daemon.problems import Vitals, find_problems
from agentd.store import queue
from agentd.store.backup import daily_backups
from agentd.store.database import read_once
from tests.making import NOW, make_event

DAY = date(2026, 12, 1)


async def test_each_day_has_its_copy_with_all_that_was_there(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    database = agent.paths.database
    with caplog.at_level(logging.INFO):
        for number, day in enumerate((DAY, DAY, DAY + timedelta(days=1))):
            await agent.store.write(queue.add, make_event(f"/notes/{number}.md", f"{number}"), "hash", "main", NOW)
            await back_up_day(agent, day)
    newest, oldest = daily_backups(database)
    assert [copy.name for copy in (newest, oldest)] == ["agentd-day-20261202.db", "agentd-day-20261201.db"]
    assert [sum(read_once(copy, queue.count_states).values()) for copy in (oldest, newest)] == [1, 3]
    assert caplog.text.count("a backup of the database is in") == 2


async def test_why_there_is_no_copy_is_a_problem_until_there_is_one_and_is_logged_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = shutil.disk_usage(agent.paths.database.parent)
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda path: usage._replace(free=0))
        for _ in range(2):
            await back_up_day(agent, DAY)
    (problem,) = find_problems(Vitals(backup=agent.unbacked), 0.0)
    assert problem.key == "backup"
    assert problem.told.endswith("has 0 MiB; there is none of today")
    assert problem.hint.startswith("df -h")
    assert caplog.text.count("there is none of today") == 1
    await back_up_day(agent, DAY)
    assert agent.unbacked is None
    assert len(daily_backups(agent.paths.database)) == 1


async def test_a_database_that_sqlite_cannot_read_is_told_and_does_not_end_the_duty(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr("agentd.store.database.back_up_day", fail)
        await back_up_day(agent, DAY)
    assert "disk I/O error" in str(agent.unbacked)


async def test_a_config_that_wants_none_gets_none(agent: Agent) -> None:
    agent.bound.config = agent.config.model_copy(update={"backups": 0})
    await back_up_day(agent, DAY)
    assert (daily_backups(agent.paths.database), agent.unbacked) == ([], None)
