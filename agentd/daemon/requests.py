"""What people ask of an opened home: run, render, ask, retry, cancel. Behind the socket and without a daemon.

The daemon hands this to the API; a command that finds no daemon uses it with an engine of its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from agentd.api.app import AskBody, BackfillBody, Parts, RenderBody, RunBody
from agentd.api.shapes import BackfillShape, ChangeShape, JobShape, change_shape, job_shape, result_shape
from agentd.ask.answer import Answer, answer
from agentd.daemon import backfill, tuning
from agentd.daemon.agent import Agent, now
from agentd.daemon.duty import Duty, supervise
from agentd.daemon.schedules import Schedules
from agentd.daemon.work import Worker
from agentd.engine.client import EngineClient
from agentd.errors import InputError, InvalidOutput, ModelUnavailable
from agentd.readers.read import read_text
from agentd.records import Document, Job, JobState, Priority, path_of
from agentd.store import backfills, changes, outlook, queue, results
from agentd.tasks.examples import read_examples
from agentd.tasks.prompt import build_messages
from agentd.tasks.run import run_task

POLL_SECONDS = 0.1


class Requests:
    """The requests of one home."""

    def __init__(self, agent: Agent, workers: Mapping[str, Worker]) -> None:
        self._agent = agent
        self._workers = workers

    def closed(self) -> dict[str, dict[str, str]]:
        """What may not be begun now, and why: see `conditions.Closed`."""
        return self._agent.closed.to_wire()

    async def run(self, body: RunBody) -> Parts:
        """Add jobs, then a part as each ends."""
        paths = [_absolute(path) for path in body.paths]
        texts = [text.encode() for text in body.texts]
        model = self._agent.task(body.task).model
        # Whoever waits for the answer must not wait for a model that cannot be loaded.
        engine = self._agent.engines[model]
        await self._need(engine)
        ids = await self._agent.submit(body.task, paths, texts, now())
        self._workers[model].admit(ids)
        yield {"type": "added", "jobs": ids}
        waiting = set(ids)
        told: dict[int, str | None] = {}
        while waiting:
            for job in await self._agent.store.read(
                queue.find, ids=sorted(waiting), state=JobState.RUNNING, limit=len(waiting)
            ):
                if job.progress and told.get(job.id) != job.progress:
                    told[job.id] = job.progress
                    yield {"type": "progress", "job": job_shape(job)}
            for job in await self._agent.store.read(
                queue.find, ids=sorted(waiting), ended=True, limit=len(waiting)
            ):
                waiting.discard(job.id)
                yield {"type": "job", **await self._ended(job)}
            if waiting:
                if isinstance(engine.error, ModelUnavailable):
                    raise engine.error
                if engine.held or engine.gave_way_to:
                    why = f"gave way to {engine.gave_way_to} on the GPU" if engine.gave_way_to else "was unloaded"
                    raise ModelUnavailable(f"model {model} {why}", hint=f"agentd model load {model}")
                await asyncio.sleep(POLL_SECONDS)

    async def render(self, body: RenderBody) -> dict[str, Any]:
        """The exact prompt of a task on one input, its tokens, and the room there is."""
        task = self._agent.task(body.task)
        messages = build_messages(task, await self._document(body))
        engine = self._agent.engines[task.model]
        await self._need(engine)
        rendered = await engine.render(messages, Priority.INTERACTIVE)
        room = engine.info.context - task.max_tokens
        return {"task": task.name, "prompt": rendered.text, "tokens": rendered.tokens, "room": room}

    async def ask(self, body: AskBody) -> Parts:
        """Answer a question: text as it grows, then the whole answer."""
        if not body.question.strip():
            raise InputError("the question is empty", hint="agentd ask 'when is the last frost?'")
        engine = self.ask_engine
        await self._need(engine)
        texts: asyncio.Queue[str | None] = asyncio.Queue()
        work = asyncio.create_task(answer(body.question, self._agent.store, engine, texts.put_nowait))
        work.add_done_callback(lambda _: texts.put_nowait(None))
        try:
            while (text := await texts.get()) is not None:
                if text:
                    yield {"type": "text", "text": text}
            found: Answer = await work
            yield {"type": "done", "answer": found.to_json()}
        finally:
            # A client that went away has no use for the rest.
            work.cancel()

    @property
    def ask_engine(self) -> EngineClient:
        """The engine that answers questions: `main`, or the first of the config that writes text."""
        able = self._agent.config.text_models
        return self._agent.engines["main" if "main" in able else able[0]]

    async def retry(self, job_id: int) -> JobShape:
        """Queue a job again."""
        job = await self._agent.store.write(queue.retry_job, job_id, now())
        self._agent.added.set()
        places = await self._agent.store.read(outlook.find_places, [job_id])
        return job_shape(job, places.get(job_id), closed=self._agent.closed)

    async def cancel(self, job_id: int) -> JobShape:
        """End a job, at the next step where it runs."""
        job = await self._agent.store.write(queue.cancel, job_id, now())
        self._stop_work(job_id)
        return job_shape(job)

    async def test_task(self, name: str) -> Parts:
        """Run a task on its golden examples with the loaded model; nothing of it is kept."""
        task = self._agent.task_for_examples(name)
        engine = self._agent.engines[task.model]
        await self._need(engine)
        examples = read_examples(task.file).examples
        info = engine.info
        yield {
            "type": "model",
            "task": name,
            "model": info.label,
            "kv_cache": info.kv_cache,
            "total": len(examples),
        }
        for number, example in enumerate(examples, 1):
            document = read_text(example.text.encode(), f"example {number}", example.kind)
            part: dict[str, Any] = {"type": "example", "number": number, "name": example.name, "output": None}
            try:
                result = await run_task(task, document, engine, Priority.INTERACTIVE)
                part |= {"output": result.output, "error": None, "seconds": round(result.seconds, 3)}
            except (InputError, InvalidOutput) as failed:
                part |= {"error": failed.message, "seconds": 0.0}
            yield part | {"expect": example.expect}

    async def steer_change(self, change_id: int, what: str) -> ChangeShape:
        """Apply, undo or refuse a change; raises `ChangeError`."""
        steer = self._agent.changes
        match what:
            case "apply":
                change = await steer.effects.apply(change_id)
            case "undo":
                change = await steer.undo(change_id)
            case _:
                change = await self._agent.store.write(changes.refuse, change_id)
        return change_shape(change)

    async def begin_backfill(self, body: BackfillBody) -> BackfillShape:
        """Let a task do files that are there already; raises `TaskError`, or `InputError` for a path."""
        found = await backfill.begin(
            self._agent, body.task, [_absolute(path) for path in body.paths], again=body.again
        )
        return await backfill.shape(self._agent, found)

    async def show_backfill(self, backfill_id: int) -> BackfillShape:
        """How far a backfill is; raises `NotFound`."""
        return await backfill.shape(self._agent, await self._agent.store.read(backfills.get, backfill_id))

    async def steer_backfill(self, backfill_id: int, what: str) -> BackfillShape:
        """Pause, resume or cancel a backfill; raises `NotFound`, and `AgentdError` for one that has ended."""
        store = self._agent.store
        match what:
            case "pause":
                found = await store.write(backfills.pause, backfill_id)
            case "resume":
                found = await store.write(backfills.resume, backfill_id)
                self._agent.added.set()
            case _:
                found, ended = await store.write(backfills.cancel, backfill_id, now())
                for job_id in ended:
                    self._stop_work(job_id)
        return await backfill.shape(self._agent, found)

    async def fire_schedule(self, name: str) -> JobShape:
        """Fire a schedule now; its job. Raises `NotFound`, and `AgentdError` where there is nothing to do."""
        job_id = await Schedules(self._agent, self._workers).fire_now(name)
        places = await self._agent.store.read(outlook.find_places, [job_id])
        return job_shape(await self._agent.store.read(queue.get, job_id), places.get(job_id))

    async def load_model(self, name: str) -> None:
        """Load a model; raises `ModelUnavailable` where that fails."""
        engine = self._agent.engine(name)
        self._agent.refuse_measured([engine.name])
        await engine.load_now()

    async def unload_model(self, name: str) -> None:
        """Take a model out of memory until a person needs it."""
        await self._agent.engine(name).unload()

    def tune_model(self, name: str) -> Parts:
        """Measure how a model runs best, and let it run so."""
        return tuning.tune(self._agent, name)

    async def reset_model(self, name: str) -> None:
        """Forget what was measured of a model; raises `NotFound`."""
        await tuning.reset(self._agent, name)

    async def rerun_stale(self) -> list[int]:
        """Add jobs for stale results; their ids."""
        return await self._agent.rerun_stale(now())

    def _stop_work(self, job_id: int) -> None:
        for worker in self._workers.values():
            worker.cancel(job_id)

    async def _need(self, engine: EngineClient) -> None:
        """Have a model in memory, for a person who waits; raises `ModelUnavailable`."""
        self._agent.refuse_measured([engine.name])
        engine.demand(person=True)
        await engine.wait_loaded()

    async def _document(self, body: RenderBody) -> Document:
        if body.text is not None:
            return await asyncio.to_thread(self._agent.reader.read_stdin, body.text.encode())
        return await asyncio.to_thread(self._agent.reader.read, _absolute(body.path or ""), self._agent.max_bytes)

    async def _ended(self, job: Job) -> dict[str, Any]:
        found = await self._agent.store.read(results.find, job_ids=[job.id], limit=1)
        shapes = [result_shape(stored, stale=self._agent.is_stale(stored)) for stored in found]
        planned = await self._agent.store.read(changes.find, job_id=job.id, limit=None)
        return {
            "job": job_shape(job),
            "result": shapes[0] if shapes else None,
            "changes": [change.id for change in planned],
            "note": self._agent.changes.why_none(job, self._agent.task(job.task)) if shapes else None,
        }


@contextlib.asynccontextmanager
async def requests_without_daemon(agent: Agent, model: str) -> AsyncIterator[Requests]:
    """Requests with an engine of our own; only jobs that are added here are done here."""
    worker = Worker(agent, model, only=True)
    async with agent.running_engine(model), agent.embedding_on_demand():
        # Supervised as in the daemon: a worker that ended with an error would leave its caller waiting for ever.
        work = asyncio.create_task(supervise(Duty("work", lambda: worker.run(asyncio.Event()))))
        beat = asyncio.create_task(supervise(Duty("heartbeat", agent.heartbeat)))
        try:
            yield Requests(agent, {model: worker})
        finally:
            # Whoever leaves with a job in hand (Ctrl-C) does not want to wait for it.
            work.cancel()
            beat.cancel()
            await asyncio.wait({work, beat})
            # What was asked for here is not what a daemon should do some day instead.
            await agent.store.write(queue.cancel_all, worker.admitted or [], now())


def _absolute(path: str) -> Path:
    found = path_of(path)
    if not found.is_absolute():
        raise InputError(f"the path {path!r} is not absolute", hint="agentd run TASK PATH")
    return found
