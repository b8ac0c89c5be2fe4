import asyncio
import os
from pathlib import Path

import pytest

from agentd.daemon.agent import Agent, now
from agentd.errors import EngineCrashed, InvalidOutput, ModelUnavailable, StoreBusy, StoreError
from agentd.records import Event, JobState, source_of
from agentd.store import queue, results
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import GOOD, ScriptedEngine
from tests.daemon.working import add, do, get, working
from tests.waiting import wait_until


async def test_a_job_becomes_a_result(agent: Agent, engine: ScriptedEngine, write_note: WriteNote) -> None:
    engine.answers = [GOOD]
    path = write_note()
    job = await do(agent, await add(agent, path))
    assert (job.state, job.attempts) == (JobState.DONE, 1)
    (stored,) = await agent.store.read(results.find)
    assert stored.result.output == {"title": "Pears", "tags": ["garden"]}
    assert (stored.source, stored.job_id, stored.content) == (str(path), job.id, job.content)
    assert not agent.is_stale(stored)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.md", b"", "empty"),
        ("picture.md", b"\x89PNG\r\n\x1a\n", "not-text"),
        ("latin.md", b"caf\xe9", "bad-encoding"),
        ("open.md", b"---\ntitle: x\n", "unclosed-front-matter"),
        (b"caf\xe9.md", b"", "empty"),
    ],
)
async def test_bad_input_fails_by_name_and_the_next_good_file_is_done(
    agent: Agent,
    engine: ScriptedEngine,
    write_note: WriteNote,
    tmp_path: Path,
    name: str | bytes,
    content: bytes,
    reason: str,
) -> None:
    engine.answers = [GOOD]
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(content)
    bad, good = await add(agent, path), await add(agent, write_note())
    assert (await do(agent, good)).state is JobState.DONE
    job = await get(agent, bad)
    assert (job.state, job.reason) == (JobState.FAILED, reason)
    assert job.error
    assert job.hint
    assert path.read_bytes() == content


async def test_a_vanished_file_with_a_name_that_is_not_utf8_fails_by_name(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.md")
    path.write_text("here for now")
    job_id = await add(agent, path)
    path.unlink()
    assert (await do(agent, job_id)).reason == "vanished"


async def test_an_answer_that_is_not_valid_is_no_result(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    engine.answers = ['{"title": "Pears", "tags": ["submarine"]}']
    job = await do(agent, await add(agent, write_note()))
    assert (job.state, job.reason) == (JobState.FAILED, InvalidOutput.code)
    assert await agent.store.read(results.find) == []


@pytest.mark.parametrize("edit", ["# Apples\n", ""], ids=["other text", "in the middle of a save"])
async def test_a_file_that_changed_before_it_was_read_is_superseded(
    agent: Agent, write_note: WriteNote, edit: str
) -> None:
    path = write_note()
    job_id = await add(agent, path)
    path.write_text(edit)
    job = await do(agent, job_id)
    assert (job.state, job.reason) == (JobState.CANCELLED, "superseded")


async def test_a_file_that_changed_while_the_model_read_it_leaves_no_result(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    path = write_note()

    async def edit() -> str:
        path.write_text("something else")
        return GOOD

    engine.answers = [edit]
    assert (await do(agent, await add(agent, path))).reason == "superseded"
    assert await agent.store.read(results.find) == []


async def test_a_file_that_moved_while_the_model_read_it_keeps_its_result(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    path = write_note()

    async def move() -> str:
        path.rename(path.with_name("moved.md"))
        return GOOD

    engine.answers = [move]
    assert (await do(agent, await add(agent, path))).state is JobState.DONE


async def test_a_file_that_could_not_be_read_is_done_by_a_retry_once_it_is_there(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote, tmp_path: Path
) -> None:
    job_id = await add(agent, tmp_path / "pears.md")
    assert (await get(agent, job_id)).reason == "vanished"
    write_note()
    engine.answers = [GOOD]
    await agent.store.write(queue.retry_job, job_id, now())
    assert (await do(agent, job_id)).state is JobState.DONE


async def test_a_crash_of_the_engine_counts_and_the_job_is_tried_again(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.store.retry.FIRST_DELAY", 0.0)
    engine.answers = [EngineCrashed("died of SIGSEGV"), GOOD]
    job = await do(agent, await add(agent, write_note()))
    assert (job.state, job.attempts, job.crashes, job.reason) == (JobState.DONE, 2, 1, None)


async def test_a_job_waits_without_a_try_while_there_is_no_model(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    async def gone() -> str:
        engine.ready.clear()
        raise ModelUnavailable("the engine is gone")

    engine.answers = [gone, GOOD]
    job_id = await add(agent, write_note())
    async with working(agent):
        await wait_until(lambda: not engine.loaded)

        async def waits() -> bool:
            return (await get(agent, job_id)).state is JobState.QUEUED

        await wait_until(waits)
        assert (await get(agent, job_id)).attempts == 0
        engine.ready.set()

        async def done() -> bool:
            return (await get(agent, job_id)).state is JobState.DONE

        await wait_until(done)
    assert (await get(agent, job_id)).attempts == 1


async def test_a_mistake_in_agentd_costs_the_job_a_try_and_the_work_goes_on(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    engine.answers = [ZeroDivisionError("oops"), GOOD]
    bad, good = await add(agent, write_note("bad.md", "bad")), await add(agent, write_note())
    assert (await do(agent, good)).state is JobState.DONE
    job = await get(agent, bad)
    assert (job.state, job.reason, job.error) == (JobState.QUEUED, "internal", "ZeroDivisionError: oops")


async def test_a_job_that_could_not_even_be_failed_is_not_left_running(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.answers = [GOOD, GOOD]
    real, broken = agent.store.write, [results.complete, queue.fail]

    async def write(operation: object, *args: object, **given: object) -> object:
        if operation in broken:
            broken.remove(operation)  # type: ignore[arg-type]
            raise StoreBusy if operation is results.complete else StoreError("no space left")
        return await real(operation, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(agent.store, "write", write)
    job = await do(agent, await add(agent, write_note()))
    assert broken == []
    assert job.state is JobState.DONE


async def test_a_task_whose_model_changed_is_done_by_the_new_one(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    job_id = await add(agent, write_note())
    shipped = agent.task("note-tagging").file.read_text()
    (agent.paths.tasks / "note-tagging.md").write_text(shipped.replace("\noutput:", "\nmodel: big\noutput:"))
    agent.engines["big"].answers = [GOOD]  # type: ignore[attr-defined]
    async with working(agent, "big"):
        job = await do(agent, job_id)
    assert (job.state, job.model, job.attempts) == (JobState.DONE, "big", 1)


async def test_a_task_that_is_gone_fails_its_jobs_by_name(agent: Agent, write_note: WriteNote) -> None:
    event = Event("no-such-task", source_of(write_note()), "0" * 64)
    job_id = await agent.store.write(queue.add, event, "hash", "main", now())
    assert job_id
    assert (await do(agent, job_id)).reason == "unknown-task"


async def test_a_running_job_stops_when_it_is_cancelled(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return GOOD

    engine.answers = [slow, GOOD]
    job_id, good = await add(agent, write_note("slow.md", "slow")), await add(agent, write_note())
    async with working(agent) as worker:
        await begun.wait()
        worker.cancel(good)
        assert not ended.is_set()
        await agent.store.write(queue.cancel, job_id, now())
        worker.cancel(job_id)
        await asyncio.wait_for(ended.wait(), 30)
    assert (await do(agent, good)).state is JobState.DONE
    assert (await get(agent, job_id)).state is JobState.CANCELLED


async def test_a_worker_with_only_does_nothing_but_what_it_was_told_to(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    engine.answers = [GOOD]
    other, wanted = await add(agent, write_note("a.md", "a")), await add(agent, write_note("b.md", "b"))
    async with working(agent, only=True) as worker:
        worker.admit([wanted])
        agent.added.set()

        async def done() -> bool:
            return (await get(agent, wanted)).state is JobState.DONE

        await wait_until(done)
    assert (await get(agent, other)).state is JobState.QUEUED
