import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from agentd.daemon.agent import Agent, now, open_agent
from agentd.daemon.settings import Config
from agentd.errors import BrokenTask, ConfigError, EmptyInput, NewerDatabase, UnknownTask
from agentd.paths import Paths
from agentd.records import Job, JobState, Priority
from agentd.store import queue, results
from agentd.store.results import StoredResult
from agentd.tasks.prompt import task_hash
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import SHA256, ScriptedEngine
from tests.making import make_document, make_result
from tests.waiting import wait_until

GGUF = b"GGUF" + bytes(100)


async def keep_result(agent: Agent, path: Path) -> StoredResult:
    """A result of today's task on this file."""
    (job_id,) = await agent.submit("note-tagging", [path], (), now())
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    assert job.id == job_id
    await agent.store.write(
        results.complete, job, agent.owner, job.task_hash, make_result(), make_document(path.read_text()), now()
    )
    return (await agent.store.read(results.find))[0]


def change_task(agent: Agent, extra: str) -> None:
    text = agent.task("note-tagging").file.read_text()
    (agent.paths.tasks / "note-tagging.md").write_text(text + extra)


async def test_a_run_adds_a_job_for_every_path_and_a_failed_one_for_what_cannot_be_read(
    agent: Agent, write_note: WriteNote, tmp_path: Path
) -> None:
    agent.added.clear()
    ids = await agent.submit("note-tagging", [write_note(), tmp_path, tmp_path / "none.md"], (), now())
    jobs = [await agent.store.read(queue.get, job_id) for job_id in ids]
    assert [(job.state, job.reason) for job in jobs] == [
        (JobState.QUEUED, None),
        (JobState.FAILED, "not-a-file"),
        (JobState.FAILED, "vanished"),
    ]
    assert {job.priority for job in jobs} == {Priority.INTERACTIVE}
    assert agent.added.is_set()


async def test_the_same_file_can_be_run_again_on_request(agent: Agent, write_note: WriteNote) -> None:
    path = write_note()
    first = await agent.submit("note-tagging", [path], (), now())
    await asyncio.sleep(0.002)  # the occasion of a run is its time, in milliseconds
    assert await agent.submit("note-tagging", [path, path], (), now()) != first
    assert len(await agent.store.read(queue.find)) == 2


async def test_an_unknown_task_or_an_empty_text_adds_nothing(agent: Agent, write_note: WriteNote) -> None:
    with pytest.raises(UnknownTask):
        await agent.submit("no-such-task", [write_note()], (), now())
    with pytest.raises(EmptyInput):
        await agent.submit("note-tagging", [write_note()], [b" \n"], now())
    assert await agent.store.read(queue.find) == []


async def test_a_result_is_stale_once_its_task_changed_or_is_gone(agent: Agent, write_note: WriteNote) -> None:
    stored = await keep_result(agent, write_note())
    assert not agent.is_stale(stored)
    change_task(agent, "\nBe brief.\n")
    assert agent.is_stale(stored)
    (agent.paths.tasks / "note-tagging.md").write_text("broken")
    assert agent.is_stale(stored)


async def test_what_is_stale_is_run_again_once_and_only_that(agent: Agent, write_note: WriteNote) -> None:
    stored = await keep_result(agent, write_note())
    assert await agent.rerun_stale(now()) == []
    change_task(agent, "\nBe brief.\n")
    (job_id,) = await agent.rerun_stale(now())
    job = await agent.store.read(queue.get, job_id)
    assert (job.source, job.content, job.priority) == (stored.source, stored.content, Priority.BACKFILL)
    assert job.task_hash != stored.task_hash
    assert await agent.rerun_stale(now()) == [], "asked twice, done once"


async def test_what_is_stale_and_gone_is_not_run_again(agent: Agent, write_note: WriteNote) -> None:
    note = write_note()
    await keep_result(agent, note)
    change_task(agent, "\nBe brief.\n")
    note.unlink()
    assert await agent.rerun_stale(now()) == []


async def test_a_task_that_wants_a_model_the_config_lacks_is_broken(agent: Agent) -> None:
    text = agent.task("note-tagging").file.read_text().replace("\noutput:", "\nmodel: huge\noutput:")
    (agent.paths.tasks / "note-tagging.md").write_text(text)
    with pytest.raises(BrokenTask, match=r"no model `huge` \(it has main, big\)"):
        agent.bind("note-tagging")


async def test_the_hash_follows_the_weights_that_are_loaded(agent: Agent, engine: ScriptedEngine) -> None:
    task = agent.task("note-tagging")
    assert agent.hash(task) == task_hash(task, SHA256)
    engine.ready.clear()
    assert agent.hash(task) == task_hash(task, "fake")


async def test_weights_are_known_by_their_content_and_read_once(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, moved = tmp_path / "m.gguf", tmp_path / "moved.gguf"
    weights.write_bytes(GGUF)
    paths.config.write_text(f"models: {{main: {{path: '{weights}'}}}}")
    async with open_agent(paths) as agent:
        identity = agent.identities["main"]
    with monkeypatch.context() as patched:
        patched.setattr("agentd.engine.weights.checksum", None)
        async with open_agent(paths) as agent:
            assert agent.identities["main"] == identity
    weights.rename(moved)
    paths.config.write_text(f"models: {{main: {{path: '{moved}'}}}}")
    async with open_agent(paths) as agent:
        assert agent.identities["main"] == identity
    moved.write_bytes(GGUF + b"other")
    async with open_agent(paths) as agent:
        assert agent.identities["main"] != identity
    moved.unlink()
    async with open_agent(paths) as agent:
        assert agent.identities["main"] == str(moved)


async def test_every_usable_task_has_a_view_for_plain_sql(agent: Agent, write_note: WriteNote) -> None:
    (agent.paths.tasks / "broken.md").write_text("no front matter")
    await keep_result(agent, write_note())
    await agent.write_views()
    await agent.write_views()
    connection = sqlite3.connect(agent.paths.database)
    rows = connection.execute("SELECT title, json_extract(tags, '$[0]') FROM view_note_tagging").fetchall()
    views = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
    connection.close()
    assert rows == [("Pears", "garden")]
    names = ("code_review", "log_report", "log_triage", "meeting_notes", "note_tagging", "summarise")
    assert views == {f"view_{name}" for name in names}


async def test_what_a_clock_that_was_ahead_put_off_is_due_once_the_daemon_is_started(
    agent: Agent, write_note: WriteNote
) -> None:
    (job_id,) = await agent.submit("note-tagging", [write_note("a.md")], (), now() + timedelta(days=400))
    assert await agent.store.write(queue.claim, agent.owner, "main", now()) is None
    beat = asyncio.create_task(agent.heartbeat())

    async def claimed() -> Job | None:
        return await agent.store.write(queue.claim, agent.owner, "main", now())

    job = await wait_until(claimed)
    assert job is not None
    assert job.id == job_id
    beat.cancel()


async def test_a_heartbeat_keeps_the_leases_of_this_process(agent: Agent, write_note: WriteNote) -> None:
    await agent.submit("note-tagging", [write_note()], (), now())
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    await agent.store.write(lambda db: db.execute("UPDATE jobs SET lease_until = ''") and None)
    beat = asyncio.create_task(agent.heartbeat())

    async def kept() -> bool:
        (row,) = await agent.store.read(lambda db: list(db.query("SELECT state, lease_until FROM jobs")))
        assert row["state"] == "running"
        return bool(row["lease_until"] > job.created)

    await wait_until(kept)
    beat.cancel()


async def test_a_broken_config_opens_nothing(paths: Paths) -> None:
    paths.config.write_text("modles: {}")
    with pytest.raises(ConfigError, match="did you mean `models`"):
        async with open_agent(paths):
            pass
    assert not paths.database.exists()


async def test_a_database_of_a_later_agentd_is_not_opened(paths: Paths) -> None:
    async with open_agent(paths) as agent:
        await agent.store.write(
            lambda db: db.execute("UPDATE _sqlite_migrations SET name = '0099_later' WHERE id = 1") and None
        )
    with pytest.raises(NewerDatabase):
        async with open_agent(paths):
            pass


async def test_whoever_opens_a_home_is_warned_of_keys_by_their_old_names(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "renamed", {"words": "vocabularies"})
    paths.config.write_text("models: {main: {path: fake}}\nwords: {tags: [garden]}\n")
    warnings: list[str] = []
    async with open_agent(paths, warnings.append) as opened:
        assert opened.config.vocabularies == {"tags": {"garden": ""}}
    assert warnings == [f"{paths.config}:2: `words` is called `vocabularies` now"]
