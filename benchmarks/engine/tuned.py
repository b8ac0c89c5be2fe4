"""Jobs a minute as the user gets it: agentd as `agentd model tune` set it up, the peers with the same file."""

import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from agentd.engine import tuner_client
from agentd.engine.choice import Choice
from agentd.engine.settings import ModelSettings
from benchmarks.engine import figures
from benchmarks.engine.measure import Turns, console
from benchmarks.engine.sides import Agentd
from benchmarks.engine.throughput import Plan, convert, peers, perplexity, plain, to_wire
from benchmarks.engine.workload import incidents, notes

EXAMPLES = 12  # jobs of each workload that the search is given; none of them is measured afterwards
OTHER_SEED = 7


async def as_the_user_gets_it(plan: Plan) -> dict[str, Any]:
    """All sides at their best from the starter's file, and what agentd's choice costs in quality."""
    with tempfile.TemporaryDirectory() as folder:
        choice = _read(plan.choice) if plan.choice else await _tune(plan, Path(folder))
        console.print(f"  chosen: {choice}")
        # Converted weights are made once and stay in this folder, as in the daemon's.
        ours = Agentd(ModelSettings(), choice, Path(folder), setting="as tuned")
        turns = Turns([ours, *peers(plan, plan.starter, ("f16", "q8_0"))], plan.workloads)
        shipped = Turns([Agentd(plain("f16"), setting="shipped, KV f16")], plan.workloads)
        await shipped.turn()
        for _ in range(plan.runs):
            await turns.turn()
        weights = plan.starter
        if choice.weights:
            weights = Path(folder) / "converted.gguf"
            await convert(plan, weights, choice.weights)
        info = turns.results["A"][0].info
        return {
            "choice": dataclasses.asdict(choice),
            "info": {name: info[name] for name in ("weights", "kv_cache")},  # not where the file lies
            "workloads": to_wire(turns),
            "alike": {name: _alike(plan, name, turns, shipped) for name in plan.workloads},
            "perplexity": await perplexity(plan, weights, choice.kv_cache_k, choice.kv_cache_v),
            "shipped_perplexity": await perplexity(plan, plan.starter, "f16"),
        }


def _read(file: Path) -> Choice:
    return Choice(**json.loads(file.read_text("utf-8")))


async def _tune(plan: Plan, folder: Path) -> Choice:
    """What `agentd model tune` chooses for a user whose work is like A and B."""
    jobs = incidents(EXAMPLES, OTHER_SEED) + notes(EXAMPLES, OTHER_SEED)
    requests = [job.request() for job in jobs]
    async with contextlib.aclosing(tuner_client.tune(ModelSettings(), requests, [plan.text], folder)) as frames:
        async for frame in frames:
            if frame["type"] == "done":
                return Choice(**frame["choice"])
            console.print(f"  {frame['text']}, about {frame['left']:.0f} s left")
    raise RuntimeError("the search ended without a choice")


def _alike(plan: Plan, name: str, turns: Turns, shipped: Turns) -> list[int]:
    texts = [[answer.text for answer in which.results[name][0].answers] for which in (turns, shipped)]
    return list(figures.agreement(plan.workloads[name], *texts))
