import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.api.app import AskBody, Parts, RenderBody, RunBody
from agentd.ask.answer import Answer
from agentd.daemon import requests
from agentd.daemon.agent import Agent, now
from agentd.daemon.requests import Requests, requests_without_daemon
from agentd.errors import InputError, ModelUnavailable, NotFound, TooLarge
from agentd.records import JobState
from agentd.store import parts, queue
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import GOOD, ScriptedEngine
from tests.waiting import wait_until


@pytest.fixture
async def alone(agent: Agent) -> AsyncIterator[Requests]:
    """Requests as a command has them that found no daemon."""
    async with requests_without_daemon(agent, "main") as made:
        yield made


async def collect(parts: Parts) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        return [part async for part in parts]


async def test_a_run_tells_of_every_job_as_it_ends(
    alone: Requests, engine: ScriptedEngine, write_note: WriteNote, tmp_path: Path
) -> None:
    engine.answers = [GOOD]
    paths = [str(write_note()), str(tmp_path / "none.md")]
    added, *ended = await collect(alone.run(RunBody(task="note-tagging", paths=paths)))
    assert added["type"] == "added"
    assert {part["job"]["id"] for part in ended} == set(added["jobs"])
    by_source = {part["job"]["source"]: part for part in ended}
    good, bad = by_source[paths[0]], by_source[paths[1]]
    assert (good["job"]["state"], good["result"]["output"]["title"]) == ("done", "Pears")
    assert (bad["job"]["reason"], bad["result"]) == ("vanished", None)


async def test_a_run_on_a_long_document_tells_how_far_it_is(
    alone: Requests, agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    seen = asyncio.Event()

    async def answer() -> str:
        (job,) = await agent.store.read(queue.find)
        await agent.store.write(parts.tell, job.id, "3/9 parts")
        await seen.wait()
        return GOOD

    engine.answers = [answer]
    told = []
    async with asyncio.timeout(30):
        async for part in alone.run(RunBody(task="note-tagging", paths=[str(write_note())])):
            told.append(part["type"])
            if part["type"] == "progress":
                assert part["job"]["progress"] == "3/9 parts"
                seen.set()
    assert told == ["added", "progress", "job"]


async def test_a_run_can_take_its_text_from_a_pipe(alone: Requests, engine: ScriptedEngine) -> None:
    engine.answers = [GOOD]
    _, part = await collect(alone.run(RunBody(task="note-tagging", texts=["# Pears\n"])))
    assert part["job"]["source"].startswith("stdin:")
    assert part["job"]["state"] == "done"


async def test_a_run_without_a_daemon_leaves_other_jobs_alone(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    (other,) = await agent.submit("note-tagging", [write_note("other.md", "other")], (), now())
    engine.answers = [GOOD]
    async with requests_without_daemon(agent, "main") as alone:
        await collect(alone.run(RunBody(task="note-tagging", paths=[str(write_note())])))
    assert (await agent.store.read(queue.get, other)).state is JobState.QUEUED


async def test_a_mistake_without_a_daemon_does_not_leave_the_caller_waiting(
    alone: Requests, engine: ScriptedEngine, write_note: WriteNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.store.retry.FIRST_DELAY", 0.0)
    engine.answers = [ZeroDivisionError("oops"), GOOD]
    *_, part = await collect(alone.run(RunBody(task="note-tagging", paths=[str(write_note())])))
    assert (part["job"]["state"], part["job"]["attempts"]) == ("done", 2)


async def test_a_run_without_a_daemon_needs_a_model(agent: Agent, engine: ScriptedEngine) -> None:
    engine.ready.clear()
    with pytest.raises(ModelUnavailable):
        async with requests_without_daemon(agent, "main"):
            pass


@pytest.mark.parametrize("make", [lambda p: RunBody(task="note-tagging", paths=[p]), lambda p: p])
async def test_a_relative_path_is_refused(alone: Requests, make: Callable[[str], Any]) -> None:
    body = make("notes/../a.md")
    with pytest.raises(InputError, match="is not absolute"):
        if isinstance(body, RunBody):
            await collect(alone.run(body))
        else:
            await alone.render(RenderBody(task="note-tagging", path=body))


async def test_a_dry_run_shows_the_prompt_and_its_room_and_runs_nothing(
    agent: Agent, alone: Requests, write_note: WriteNote
) -> None:
    path = write_note(text="Prune the pear tree.")
    shown = await alone.render(RenderBody(task="note-tagging", path=str(path)))
    assert "Prune the pear tree." in shown["prompt"]
    assert shown["tokens"] == len(shown["prompt"]) // 4
    assert shown["room"] == 1000 - agent.task("note-tagging").max_tokens
    piped = await alone.render(RenderBody(task="note-tagging", text="Prune the pear tree."))
    assert piped["prompt"] == shown["prompt"]
    assert await agent.store.read(queue.find) == []


async def test_jobs_are_cancelled_and_retried(agent: Agent, write_note: WriteNote) -> None:
    alone = Requests(agent, {})  # no worker, which would see the job that was added
    job_id = (await agent.submit("note-tagging", [write_note()], (), now()))[0]
    assert (await alone.cancel(job_id))["state"] == "cancelled"
    agent.added.clear()
    retried = await alone.retry(job_id)
    assert (retried["state"], retried["position"]) == ("queued", 1)
    assert agent.added.is_set()
    with pytest.raises(NotFound):
        await alone.retry(999)


async def test_a_running_job_ends_for_its_caller_when_somebody_cancels_it(
    alone: Requests, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    begun = asyncio.Event()

    async def slow() -> str:
        begun.set()
        await asyncio.Event().wait()
        return GOOD

    engine.answers = [slow]
    run = asyncio.create_task(collect(alone.run(RunBody(task="note-tagging", paths=[str(write_note())]))))
    await begun.wait()
    await alone.cancel(1)
    assert (await run)[-1]["job"]["state"] == "cancelled"


async def test_an_answer_is_streamed_and_then_given_whole(
    alone: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(question: str, store: object, engine: object, on_text: Callable[[str], None]) -> Answer:
        for word in ("In ", "February."):
            on_text(word)
        return Answer(f"{question} In February.", False, ())

    monkeypatch.setattr(requests, "answer", answer)
    *texts, done = await collect(alone.ask(AskBody(question="When?")))
    assert [part["text"] for part in texts] == ["In ", "February."]
    assert json.loads(json.dumps(done["answer"])) == {
        "answer": "When? In February.",
        "found": False,
        "citations": [],
    }


async def test_an_error_of_the_answer_reaches_who_asked(alone: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*_: object) -> Answer:
        raise TooLarge("too much")

    monkeypatch.setattr(requests, "answer", answer)
    with pytest.raises(TooLarge):
        await collect(alone.ask(AskBody(question="When?")))


@pytest.mark.parametrize("question", ["", " \n"])
async def test_an_empty_question_is_refused(alone: Requests, question: str) -> None:
    with pytest.raises(InputError, match="the question is empty"):
        await collect(alone.ask(AskBody(question=question)))


async def test_who_goes_away_from_an_answer_ends_it(alone: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def answer(*given: Any) -> Answer:
        given[-1]("word")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(requests, "answer", answer)
    parts = alone.ask(AskBody(question="When?"))
    assert (await anext(parts))["text"] == "word"
    await parts.aclose()  # type: ignore[attr-defined]
    await wait_until(ended.is_set)


async def test_models_are_loaded_and_unloaded_by_name(
    agent: Agent, alone: Requests, engine: ScriptedEngine
) -> None:
    await alone.unload_model("main")
    assert (engine.state, agent.engines["big"].state) == ("unloaded", "loaded")
    await alone.load_model("main")
    assert engine.state == "loaded"
    for refused in (alone.load_model("huge"), alone.unload_model("huge")):
        with pytest.raises(NotFound, match=r"no model `huge`: the config has main, big") as why:
            await refused
        assert why.value.hint == "agentd model list"


@pytest.mark.parametrize("what", ["run", "render", "ask"])
async def test_whoever_asks_brings_an_unloaded_model_back(
    alone: Requests, engine: ScriptedEngine, what: str
) -> None:
    await alone.unload_model("main")
    with pytest.raises(ModelUnavailable):  # this engine is loaded by nobody
        match what:
            case "run":
                await collect(alone.run(RunBody(task="note-tagging", texts=["# Pears"])))
            case "render":
                await alone.render(RenderBody(task="note-tagging", text="# Pears"))
            case "ask":
                await collect(alone.ask(AskBody(question="When?")))
    assert (engine.held, engine.demands) == (False, 1)


async def test_a_run_whose_model_gives_way_says_so(
    agent: Agent, alone: Requests, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    async def cut_off() -> str:
        engine.gave_way_to = "blender (pid 7)"
        engine.ready.clear()
        raise ModelUnavailable("model main gave way to blender (pid 7)")

    engine.answers = [cut_off]
    with pytest.raises(ModelUnavailable, match=r"gave way to blender \(pid 7\) on the GPU") as why:
        await collect(alone.run(RunBody(task="note-tagging", paths=[str(write_note())])))
    assert why.value.hint == "agentd model load main"


async def test_a_run_whose_model_is_unloaded_says_so_and_its_job_waits(
    agent: Agent, alone: Requests, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    begun = asyncio.Event()

    async def cut_off() -> str:
        begun.set()
        await wait_until(lambda: engine.held)
        raise ModelUnavailable("model main was unloaded")

    engine.answers = [cut_off]
    run = asyncio.create_task(collect(alone.run(RunBody(task="note-tagging", paths=[str(write_note())]))))
    await begun.wait()
    await alone.unload_model("main")
    with pytest.raises(ModelUnavailable, match="main was unloaded") as why:
        await run
    assert why.value.hint == "agentd model load main"

    async def waits() -> bool:
        (job,) = await agent.store.read(queue.find)
        return (job.state, job.attempts) == (JobState.QUEUED, 0)

    await wait_until(waits, what="the job to be back in the queue")
