"""Jobs and supervised workers, as in the daemon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agentd.daemon.agent import Agent, now
from agentd.daemon.duty import Duty, supervise
from agentd.daemon.work import Worker
from agentd.records import Event, Job, Priority
from agentd.store import queue
from tests.making import sha
from tests.waiting import wait_until


async def add(agent: Agent, path: Path) -> int:
    """The job of a run that a person asked for."""
    (job_id,) = await agent.submit("note-tagging", [path], (), now())
    return job_id


async def trigger(agent: Agent, path: Path, priority: Priority = Priority.TRIGGERED) -> int:
    """The job of a file that a trigger found."""
    event = Event("note-tagging", str(path), sha(path.read_text()), priority=priority)
    job_id = await agent.store.write(queue.add, event, "hash", "main", now())
    assert job_id is not None
    agent.added.set()
    return job_id


async def get(agent: Agent, job_id: int) -> Job:
    return await agent.store.read(queue.get, job_id)


@asynccontextmanager
async def working(agent: Agent, model: str = "main", *, only: bool = False) -> AsyncIterator[Worker]:
    """A supervised worker, as in the daemon."""
    worker, stopping = Worker(agent, model, only=only), asyncio.Event()
    task = asyncio.create_task(supervise(Duty("work", lambda: worker.run(stopping))))
    yield worker
    stopping.set()
    await asyncio.wait_for(task, 30)


async def do(agent: Agent, job_id: int) -> Job:
    """Work until the job has ended."""
    async with working(agent):

        async def ended() -> bool:
            return (await get(agent, job_id)).state.final

        await wait_until(ended)
    return await get(agent, job_id)
