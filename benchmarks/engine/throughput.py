"""Jobs a minute with the same file and the same types of cache on all sides, and the limit of what is possible."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import find_weights
from benchmarks.engine import figures
from benchmarks.engine.measure import Measured, Turns, console, direct
from benchmarks.engine.sides import Agentd, Peer, Side
from benchmarks.engine.workload import Job

SLOTS = (1, 4, 8)
SHIPPED = "q4_1"  # what the starter's weights are
TEXT_CHUNKS = 6


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What all sections share."""

    workloads: Mapping[str, Sequence[Job]]  # A and B
    runs: int
    threads: int  # of the peers, and of what is asked of llama.cpp itself
    text: str  # that perplexity is measured on
    kv: tuple[str, ...]
    weights: tuple[str, ...]
    server: Path | None
    choice: Path | None

    @property
    def starter(self) -> Path:
        """The weights as they are shipped."""
        return find_weights(ModelSettings())


async def same_files(plan: Plan) -> list[dict[str, Any]]:
    """For each type of weights and of cache: all sides, the rates of llama.cpp itself, and the limit by them."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for weights in plan.weights:
            path = plan.starter if weights == SHIPPED else Path(folder) / f"starter-{weights}.gguf"
            if not path.exists():
                await convert(plan, path, weights)
            for kv in plan.kv:
                console.print(f"weights {weights}, KV {kv}")
                found.append({"weights": weights, "kv": kv, **await _one_file(plan, path, kv)})
    return found


async def _one_file(plan: Plan, path: Path, kv: str) -> dict[str, Any]:
    kv_cache = KvCache.model_validate({"k": kv, "v": kv})
    settings = ModelSettings(path=str(path), kv_cache=kv_cache, repack="off")
    turns = Turns([Agentd(settings, setting=f"KV {kv}"), *peers(plan, path, (kv,))], plan.workloads)
    rates = []
    for _ in range(plan.runs):
        rates.append(await direct({"ask": "rates", "model": str(path), "kv": kv, "threads": plan.threads}))
        await turns.turn()
    limits = {name: await _limit(plan, name, measured[0], path, rates) for name, measured in turns.results.items()}
    return {"workloads": to_wire(turns), "rates": rates, "limits": limits}


async def _limit(
    plan: Plan, name: str, measured: Measured, path: Path, rates: list[dict[str, Any]]
) -> dict[str, Any]:
    """The compute limit of agentd's run in the middle, beside the seconds that it took."""
    pairs = [[answer.text, job.schema] for answer, job in zip(measured.answers, plan.workloads[name], strict=True)]
    counted = await direct({"ask": "forced", "model": str(path), "answers": pairs})
    # Answers are the same in every run but for roundings, so the last run's counts stand for all.
    limit = figures.limit(measured.runs[-1], sum(counted["forced"]), sum(counted["chosen"]), rates)
    seconds = figures.median(run.seconds for run in measured.runs)
    return dataclasses.asdict(limit) | {"seconds": limit.seconds, "share": limit.seconds / seconds}


def plain(kv: str) -> ModelSettings:
    """agentd with the starter's weights as they are, and one type of cache."""
    return ModelSettings(kv_cache=KvCache.model_validate({"k": kv, "v": kv}), repack="off")


def peers(plan: Plan, path: Path, kv: Sequence[str]) -> list[Side]:
    """Every peer at every setting that it may be best at."""
    engines = ["xllamacpp", *(["server"] if plan.server else [])]
    sides: list[Side] = [
        Peer(engine, path, kind, slots, plan.threads, plan.server)
        for engine in engines
        for kind in kv
        for slots in SLOTS
    ]
    return sides + [Peer("single", path, kind, 1, plan.threads) for kind in kv]


def to_wire(turns: Turns) -> dict[str, Any]:
    """The results as JSON."""
    return {name: [one.to_wire() for one in measured] for name, measured in turns.results.items()}


async def convert(plan: Plan, target: Path, kind: str) -> None:
    """A copy of the starter in another type."""
    asked = {"ask": "convert", "model": str(plan.starter), "target": str(target), "type": kind}
    await direct(asked | {"threads": plan.threads})


async def perplexity(plan: Plan, path: Path, k: str, v: str | None = None) -> float:
    """Of the plan's text; `v` is like `k` where it is not given."""
    asked = {"ask": "perplexity", "model": str(path), "kv": k, "v": v or k, "threads": plan.threads}
    told = await direct(asked | {"text": plan.text, "chunks": TEXT_CHUNKS})
    return float(told["perplexity"])
