"""The shipped digest, from a schedule to a file, with and without being asked."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentd.daemon.agent import Agent
from agentd.daemon.schedules import Schedules
from agentd.daemon.settings import load_config
from agentd.records import ChangeState
from agentd.store import changes
from tests.daemon.conftest import CONFIG
from tests.daemon.scripted import ScriptedEngine
from tests.daemon.test_schedules import finish
from tests.daemon.working import do

SAID = {
    "headline": "The backup failed on Sunday",
    "summary": "One note was tagged and the backup of the file server failed.",
    "attention": ["Free space on the disk", "Look ![at](http://evil.test/x) it\n# now"],
    "done": ["One note about pears was tagged"],
}


@pytest.fixture
def engine(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """The scripted model, with as much room as a real one has."""
    info = replace(ScriptedEngine().info, context=8192)
    monkeypatch.setattr(ScriptedEngine, "info", info)
    return agent.engines["main"]  # type: ignore[return-value]


async def ready(agent: Agent, engine: ScriptedEngine, targets: Path, apply: str) -> int:
    """The job of a digest of one result."""
    targets.mkdir()
    agent.paths.config.write_text(
        f'{CONFIG}actions: {{targets: {{digests: "{targets}"}}}}\n'
        f"schedule: [{{task: daily-digest, every: 1d, apply: {apply}}}]\n"
    )
    agent.bound = await agent.prepare(load_config(agent.paths.config))
    await finish(agent, "pears.md", moment=datetime.now(UTC))
    engine.answers.append(json.dumps(SAID))
    return await Schedules(agent).fire_now("daily-digest")


def check(targets: Path) -> None:
    (file,) = targets.iterdir()
    assert file.name == f"{datetime.now().astimezone():%Y-%m-%d}.md"
    assert file.read_text() == (
        "# The backup failed on Sunday\n\nOne note was tagged and the backup of the file server failed.\n\n"
        "## To look at\n- Free space on the disk\n- Look at it # now\n\n"
        "## Done\n- One note about pears was tagged\n"
    )


async def test_a_digest_is_a_file_once_it_was_looked_at_and_can_be_taken_back(
    agent: Agent, engine: ScriptedEngine, tmp_path: Path
) -> None:
    job = await do(agent, await ready(agent, engine, tmp_path / "digests", "review"))
    assert job.state == "done", job.error
    (change,) = await agent.store.read(changes.find)
    assert (change.kind, change.state, change.auto) == ("append", ChangeState.PLANNED, False)
    assert agent.changes.why_none(job, agent.task("daily-digest")) is None
    await agent.changes.effects.apply(change.id)
    check(tmp_path / "digests")
    await agent.changes.undo(change.id)
    assert list((tmp_path / "digests").iterdir()) == []


async def test_a_digest_that_needs_no_asking_is_planned_to_be_made_at_once(
    agent: Agent, engine: ScriptedEngine, tmp_path: Path
) -> None:
    await do(agent, await ready(agent, engine, tmp_path / "digests", "auto"))
    (change,) = await agent.store.read(changes.find)
    assert change.auto
    await agent.changes.effects.apply(change.id)
    check(tmp_path / "digests")


async def test_a_second_digest_leaves_the_first_to_be_looked_at(
    agent: Agent, engine: ScriptedEngine, tmp_path: Path
) -> None:
    await do(agent, await ready(agent, engine, tmp_path / "digests", "review"))
    await finish(agent, "beans.md", moment=datetime.now(UTC))
    engine.answers.append(json.dumps(SAID))
    earlier = Schedules(agent, {}, lambda: datetime(2026, 1, 1, 7, tzinfo=UTC))
    await do(agent, await earlier.fire_now("daily-digest"))
    assert [one.state for one in await agent.store.read(changes.find)] == [ChangeState.PLANNED] * 2
