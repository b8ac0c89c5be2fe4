"""A person asks while jobs are queued: how soon the first text comes, beside such an ask on an idle engine."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from agentd.engine.client import EngineClient
from agentd.model import Generation
from agentd.records import Priority
from benchmarks.engine import figures
from benchmarks.engine.measure import console
from benchmarks.engine.sides import Agentd, Child
from benchmarks.engine.throughput import plain
from benchmarks.engine.workload import Job, incidents, questions

BETWEEN = 2  # jobs that end between two arrivals


async def arrivals(count: int, queued: int, kv: str) -> dict[str, Any]:
    """Seconds to the first text of `count` asks with `queued` jobs before them, and of as many without."""
    async with Agentd(plain(kv)).start() as child:
        await child.answer(questions(1, seed=3))
        idle = [(await first_text(child.client, job))[0] for job in questions(count, seed=1)]
        console.print(f"  idle: {figures.median(idle):.2f} s to the first text")
        busy, steps = [], []
        async with _backlog(child, queued) as ended:
            for job in questions(count, seed=2):
                for _ in range(BETWEEN):
                    await ended.get()
                busy.append((await first_text(child.client, job))[0])
                steps.append(child.client.load.step_seconds)
    console.print(f"  {queued} jobs queued: {figures.median(busy):.2f} s, a step {figures.median(steps):.2f} s")
    return {"kv": kv, "queued": queued, "idle": idle, "busy": busy, "steps": steps}


async def first_text(client: EngineClient, job: Job) -> tuple[float, Generation]:
    """Seconds from asking to the first text, and the whole answer once it is complete."""
    began = time.perf_counter()
    came: list[float] = []

    def note(_text: str) -> None:
        came.append(time.perf_counter() - began)

    generation = await client.generate(job.request(Priority.INTERACTIVE), note)
    return came[0], generation


@contextlib.asynccontextmanager
async def _backlog(child: Child, queued: int) -> AsyncIterator[asyncio.Queue[None]]:
    """Keep so many jobs in the engine: each that ends, which the queue tells, is followed by another."""
    jobs = itertools.cycle(incidents(2 * queued))
    ended: asyncio.Queue[None] = asyncio.Queue()

    async def work() -> None:
        while True:
            await child.client.generate(next(jobs).request())
            ended.put_nowait(None)

    working = [asyncio.create_task(work()) for _ in range(queued)]
    try:
        yield ended
    finally:
        for task in working:
            task.cancel()
        await asyncio.wait(working)
