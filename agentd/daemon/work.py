"""The work: take a job, read its input, run its task, keep the result. `process_one` is the whole story.

What went wrong with a job is decided by its error's class and `store.retry`; nothing is decided here.
"""

import asyncio
import logging
import random
from collections.abc import Sequence

from agentd.daemon.agent import Agent, now
from agentd.errors import (
    AgentdError,
    InputError,
    InternalError,
    ModelUnavailable,
    Superseded,
    Vanished,
)
from agentd.readers.read import content_of, read_file
from agentd.records import Document, Job, is_stdin, path_of, was_read
from agentd.store import documents, queue, results
from agentd.tasks.run import run_task

log = logging.getLogger("agentd.work")


async def process_one(agent: Agent, job: Job) -> None:
    """Do one claimed job, to its result or its named error."""
    try:
        task = agent.task(job.task)
        if task.model != job.model:
            # The task file or the config has changed since the job was made.
            await agent.store.write(queue.hand_over, job, agent.owner, task.model)
            agent.added.set()
            return
        document = await read_input(agent, job)
        result = await run_task(task, document, agent.engines[task.model], job.priority)
        await check_unchanged(agent, job.source, document.content)
        task_hash = agent.hash(task)
        await agent.store.write(results.complete, job, agent.owner, task_hash, result, document, now())
        log.info("job %d done: %s on %s in %.1f s", job.id, job.task, job.source, result.seconds)
    except ModelUnavailable as error:
        # Not the job's fault and not its try: it waits until there is a model again.
        await agent.store.write(queue.release, agent.owner, job_id=job.id)
        log.warning("job %d waits: %s", job.id, error)
    except AgentdError as error:
        await record_failure(agent, job, error)
    except Exception as mistake:
        await record_failure(agent, job, InternalError(f"{type(mistake).__name__}: {mistake}"))
        raise


async def read_input(agent: Agent, job: Job) -> Document:
    """The job's document; raises `Superseded` where the file has another content by now."""
    if is_stdin(job.source):
        stored = await agent.store.read(documents.load_document, job.content, job.source)
        if stored is None:
            raise Vanished("the text that was given on standard input is not stored any more")
        return stored
    try:
        document = await asyncio.to_thread(read_file, path_of(job.source), agent.max_bytes)
    except InputError:
        # What is wrong may be wrong with another content, in the middle of an edit.
        if was_read(job.content):
            await check_unchanged(agent, job.source, job.content)
        raise
    if was_read(job.content) and document.content != job.content:
        raise Superseded
    return document


async def check_unchanged(agent: Agent, source: str, content: str) -> None:
    """Raise `Superseded` where the file has another content by now. A file that moved is still true."""
    if not is_stdin(source):
        try:
            found = await asyncio.to_thread(content_of, path_of(source), agent.max_bytes)
        except Vanished:
            return
        if found != content:
            raise Superseded


async def record_failure(agent: Agent, job: Job, error: AgentdError) -> None:
    """Apply the retry policy to a try that failed."""
    state = await agent.store.write(queue.fail, job, agent.owner, error, now(), random.random())  # noqa: S311
    log.warning("job %d %s: %s on %s: %s", job.id, state or "lost", job.task, job.source, error)


class Worker:
    """Claims the jobs of one model, one at a time, while its engine is ready.

    With `only`, it claims nothing but the jobs that it is told to `admit`.
    """

    IDLE_SECONDS = 1.0  # how often to look for jobs that became due, or were added by another process

    def __init__(self, agent: Agent, model: str, *, only: bool = False) -> None:
        self._agent = agent
        self._model = model
        self.admitted: list[int] | None = [] if only else None
        self._running: tuple[int, asyncio.Task[None]] | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, and finish the job in hand."""
        # A worker that failed (the disk was full, say) may have left its job claimed; nobody else would free it.
        await self._agent.store.write(queue.release, self._agent.owner, model=self._model)
        while not stopping.is_set():
            await _either(self._agent.engines[self._model].wait_ready(), stopping.wait())
            if stopping.is_set():
                return
            self._agent.added.clear()
            if not await self._step():
                await _either(self._agent.added.wait(), stopping.wait(), seconds=self.IDLE_SECONDS)

    def admit(self, job_ids: Sequence[int]) -> None:
        """Let a worker with `only` claim these jobs too."""
        if self.admitted is not None:
            self.admitted += job_ids

    async def _step(self) -> bool:
        """Claim and do one job; False where there is none."""
        agent = self._agent
        job = await agent.store.write(queue.claim, agent.owner, self._model, now(), self.admitted)
        if job is None:
            return False
        work = asyncio.create_task(process_one(agent, job))
        self._running = (job.id, work)
        try:
            await asyncio.wait({work})
        finally:
            self._running = None
            # Cancelled ourselves, we leave nothing behind that still writes.
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()
        return True

    def cancel(self, job_id: int) -> None:
        """Stop working on a job that was cancelled in the store."""
        if self._running and self._running[0] == job_id:
            self._running[1].cancel()


async def _either(*awaitables: object, seconds: float | None = None) -> None:
    """Wait for the first of these, or for `seconds`."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
