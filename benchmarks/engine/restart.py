"""The first text after a restart, with the prefix that was saved before it and without."""

import asyncio
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.engine import figures
from benchmarks.engine.measure import console
from benchmarks.engine.question import first_text
from benchmarks.engine.sides import Agentd
from benchmarks.engine.throughput import plain
from benchmarks.engine.workload import Job, incidents

SAVE_SECONDS = 30.0
ANSWER_TOKENS = 8


async def first_texts(runs: int, kv: str) -> dict[str, Any]:
    """Seconds from a loaded model to the first text, `restored` from a saved prefix and `cold` without one.

    Free text after the instructions of workload A: what a schema forces could be told before anything is computed.
    """
    jobs = [_in_free_text(job) for job in incidents(runs + 1, seed=4)]
    restored, cold, cached = list[float](), list[float](), list[int]()
    with tempfile.TemporaryDirectory() as folder:
        side = Agentd(plain(kv), folder=Path(folder))
        async with side.start() as child:
            await child.answer(jobs[-1:])
            await _until_saved(Path(folder))
        for job in jobs[:-1]:
            async with side.start() as child:
                seconds, generation = await first_text(child.client, job)
                restored.append(seconds)
                cached.append(generation.tokens_cached)
            async with Agentd(plain(kv)).start() as child:
                seconds, generation = await first_text(child.client, job)
                cold.append(seconds)
    console.print(f"  restored {figures.median(restored):.2f} s, cold {figures.median(cold):.2f} s")
    return {"kv": kv, "restored": restored, "cold": cold, "tokens_cached": cached}


def _in_free_text(job: Job) -> Job:
    return dataclasses.replace(job, schema=None, max_tokens=ANSWER_TOKENS, closed=())


async def _until_saved(folder: Path) -> None:
    """Wait for a file that has its final name; what was not saved in time shows as tokens that were not cached."""
    for _ in range(round(SAVE_SECONDS / 0.05)):
        if any(file.is_file() and not file.name.endswith(".unfinished") for file in folder.rglob("*")):
            return
        await asyncio.sleep(0.05)
