"""The work: take a job, read its input, run its task, keep the result. `process_one` is the whole story.

What went wrong with a job is decided by its error's class and `store.retry`; nothing is decided here. Who steps
with whom inside the engine is not known here either: a worker keeps enough jobs in hand to fill its batch.
"""

import asyncio
import functools
import logging
import random
from collections.abc import Sequence

from agentd.daemon.agent import Agent, now
from agentd.daemon.inputs import check_unchanged, read_input
from agentd.daemon.progress import JobProgress
from agentd.errors import AgentdError, InternalError, ModelUnavailable
from agentd.records import Job, Priority
from agentd.store import queue, results
from agentd.tasks.run import run_task
from agentd.ticks import tick

log = logging.getLogger("agentd.work")

LOADING_SECONDS = 10.0  # how long to wait for a model before looking whether it is still wanted


async def process_one(agent: Agent, job: Job) -> None:
    """Do one claimed job, to its result or its named error."""
    try:
        task = agent.task(job.task)
        if task.model != job.model:
            # The task file or the config has changed since the job was made.
            await agent.store.write(queue.hand_over, job, agent.owner, task.model)
            agent.added.set()
            return
        document = await read_input(agent, job, task)
        progress = JobProgress(agent.store, job.id)
        model = agent.engines[task.model]
        vault = agent.vault(job.source, task.name)
        result = await run_task(task, document, model, job.priority, progress=progress, vault=vault)
        await check_unchanged(agent, job.source, document.content)
        task_hash = agent.hash(task)
        plans = await agent.changes.plan(job, task, document, result)
        await agent.store.write(results.complete, job, agent.owner, task_hash, result, document, now(), plans)
        agent.changes.wake()
        log.info("job %d done: %s on %s in %.1f s", job.id, job.task, job.source, result.seconds)
    except ModelUnavailable as error:
        # Not the job's fault and not its try: it waits until there is a model again.
        await agent.store.write(queue.release, agent.owner, job_id=job.id)
        log.warning("job %d waits: %s", job.id, error)
    except AgentdError as error:
        await record_failure(agent, job, error)
    except Exception as mistake:
        log.exception("job %d met a mistake of agentd", job.id)
        await record_failure(agent, job, InternalError(f"{type(mistake).__name__}: {mistake}"))


async def record_failure(agent: Agent, job: Job, error: AgentdError) -> None:
    """Apply the retry policy to a try that failed."""
    chance, watched = random.random(), agent.is_watched(job)  # noqa: S311 - nothing secret
    state = await agent.store.write(queue.fail, job, agent.owner, error, now(), chance, watched=watched)
    log.warning("job %d %s: %s on %s: %s", job.id, state or "lost", job.task, job.source, error)


class Worker:
    """Claims the jobs of one model while its engine is ready, as many at a time as fill its batch.

    An interactive job is claimed even when all hands are full of others. A job under which the engine crashed
    before is done alone, so that one more crash is nobody's but its own. What is closed now is not claimed.
    With `only`, nothing is claimed but the jobs that the worker is told to `admit`.
    """

    IDLE_SECONDS = 1.0  # how often to look for jobs that became due, or were added by another process
    AHEAD = 2  # jobs that are read and rendered while the batch is full
    AGED_CLAIM = 8  # every so many claims takes the oldest job, so that the least urgent one is done some day

    def __init__(self, agent: Agent, model: str, *, only: bool = False) -> None:
        self._agent = agent
        self._model = model
        self.admitted: list[int] | None = [] if only else None
        self._in_hand: dict[asyncio.Task[None], Job] = {}
        self._ended = asyncio.Event()  # set when a job in hand has ended
        self._claims = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, and finish the jobs in hand.

        Raises what kept a job from being claimed or recorded, once the others are finished.
        """
        # A worker that failed (the disk was full, say) may have left its job claimed; nobody else would free it.
        await self._agent.store.write(queue.release, self._agent.owner, model=self._model)
        try:
            await self._claim_until(stopping)
        except asyncio.CancelledError:
            for task in self._in_hand:
                task.cancel()
            raise
        finally:
            # Cancelled ourselves, now or meanwhile, we leave nothing behind that still writes.
            ended = await asyncio.gather(*self._in_hand, return_exceptions=True)
            for job, error in zip(self._in_hand.values(), ended, strict=True):
                if isinstance(error, Exception):
                    log.error("job %d was not recorded", job.id, exc_info=error)
            self._in_hand.clear()

    def admit(self, job_ids: Sequence[int]) -> None:
        """Let a worker with `only` claim these jobs too."""
        if self.admitted is not None:
            self.admitted += job_ids

    def cancel(self, job_id: int) -> None:
        """Stop working on a job that was cancelled in the store."""
        for task, job in self._in_hand.items():
            if job.id == job_id:
                task.cancel()

    async def _claim_until(self, stopping: asyncio.Event) -> None:
        agent, engine = self._agent, self._agent.engines[self._model]
        while not stopping.is_set():
            tick()
            agent.added.clear()
            self._ended.clear()
            self._forget_ended()
            # Only whoever has work asks for a model: it may have been unloaded for want of it.
            if engine.loaded or await agent.store.read(
                queue.is_due, self._model, now(), self.admitted, closed=agent.closed
            ):
                if not engine.loaded:
                    # One that is loaded is not waited for: should it go just now, nobody would have asked for it.
                    engine.demand()
                    await _either(engine.wait_ready(), stopping.wait(), seconds=LOADING_SECONDS)
                if not stopping.is_set() and (job := await self._claim()):
                    self._begin(job)
                    continue
            await _either(agent.added.wait(), self._ended.wait(), stopping.wait(), seconds=self.IDLE_SECONDS)

    async def _claim(self) -> Job | None:
        """The next job for a free hand, if there are both."""
        lowest = self._lowest()
        if lowest is None:
            return None
        agent = self._agent
        aged = self._claims % self.AGED_CLAIM == self.AGED_CLAIM - 1
        take = functools.partial(queue.claim, lowest=lowest, aged=aged, closed=agent.closed)
        job = await agent.store.write(take, agent.owner, self._model, now(), self.admitted)
        self._claims += job is not None
        return job

    def _lowest(self) -> Priority | None:
        """The least urgent job that may be claimed now; None where no hand is free."""
        if any(job.crashes for job in self._in_hand.values()):
            return None
        try:
            parallel = self._agent.engines[self._model].info.parallel
        except ModelUnavailable:
            return None  # it has gone since it was waited for
        if len(self._in_hand) < parallel + self.AHEAD:
            return Priority.BACKFILL
        return Priority.INTERACTIVE if len(self._in_hand) < 2 * parallel + self.AHEAD else None

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._do(job, list(self._in_hand) if job.crashes else []))
        task.add_done_callback(lambda _: self._ended.set())
        self._in_hand[task] = job

    async def _do(self, job: Job, before: Sequence[asyncio.Task[None]]) -> None:
        """Do a job once those `before` it have ended."""
        if before:
            await asyncio.wait(before)
        await process_one(self._agent, job)

    def _forget_ended(self) -> None:
        """Free the hands whose jobs have ended; raises what one could not even record."""
        for task in [task for task in self._in_hand if task.done()]:
            del self._in_hand[task]
            if not task.cancelled():
                task.result()


async def _either(*awaitables: object, seconds: float | None = None) -> None:
    """Wait for the first of these, or for `seconds`."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
