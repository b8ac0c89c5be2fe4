"""A busy neighbour takes one core: agentd's own number of threads beside every fixed one."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from agentd.engine.settings import KvCache, ModelSettings
from benchmarks.engine.measure import Turns
from benchmarks.engine.sides import Agentd, Side
from benchmarks.engine.workload import Job

# It ends with its stdin, which is with the benchmark, however that ends.
SPIN = """
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while True: pass
"""


async def beside_a_busy_process(jobs: Sequence[Job], kv: str, most: int, runs: int) -> dict[str, Any]:
    """Jobs a minute with `threads: auto` and with each number from 1 to `most`, all beside the same process."""
    counts: list[int | str] = ["auto", *range(1, most + 1)]
    kv_cache = KvCache.model_validate({"k": kv, "v": kv})
    sides: list[Side] = [
        Agentd(
            ModelSettings.model_validate({"threads": count, "kv_cache": kv_cache, "repack": "off"}),
            setting=f"threads {count}",
        )
        for count in counts
    ]
    turns = Turns(sides, {"A": jobs})
    async with _spinning():
        for _ in range(runs):
            await turns.turn()
    return {"kv": kv, "measured": [one.to_wire() for one in turns.results["A"]]}


@contextlib.asynccontextmanager
async def _spinning() -> AsyncIterator[None]:
    """A process that never waits for anything."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SPIN, stdin=asyncio.subprocess.PIPE)
    try:
        yield
    finally:
        process.kill()
        await process.wait()
