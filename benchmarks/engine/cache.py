"""What a smaller KV cache costs and saves: bytes a token, perplexity, and how many answers stay the same."""

from collections.abc import Sequence
from typing import Any

from benchmarks.engine import figures
from benchmarks.engine.measure import console, direct, timed
from benchmarks.engine.sides import Agentd
from benchmarks.engine.throughput import Plan, perplexity, plain
from benchmarks.engine.workload import Job

KINDS = ("f16", "q8_0", "q4_0")


async def compare(plan: Plan, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Each type of cache with the starter's weights; the answers are compared with those of the first type.

    The first is run twice, and compared with itself: requests that share a step round differently each time.
    """
    computed = await direct({"ask": "cell bytes", "model": str(plan.starter)})
    rows, reference = [], list[str]()
    for kind in KINDS:
        side = Agentd(plain(kind), setting=f"KV {kind}")
        async with side.start() as child:
            if not reference:
                _, answers = await timed(child, jobs, side.width)
                reference = [answer.text for answer in answers]
            run, answers = await timed(child, jobs, side.width)
            info = (await child.work())["info"]
        texts = [answer.text for answer in answers]
        alike, total = figures.agreement(jobs, reference, texts)
        rows.append(
            {
                "kv": kind,
                "computed_bytes": computed[kind],
                "taken_bytes": sum(device["kv_cache"] for device in info["memory"]) / max(info["cells"], 1),
                "cells": info["cells"],
                "perplexity": await perplexity(plan, plan.starter, kind),
                "alike": alike,
                "fields": total,
                "a_minute": run.a_minute,
            }
        )
        console.print(f"  {kind}: perplexity {rows[-1]['perplexity']:.2f}, {alike}/{total} fields alike")
    return rows
