"""`python -m benchmarks.engine`: measure the engine beside its peers, print the tables, keep the raw figures.

Exits with 1 where something that is asked of the engine was not reached. A quiet machine is needed.
"""

import argparse
import asyncio
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.engine import cache, machine, neighbour, question, restart, tables, throughput, tuned
from benchmarks.engine.measure import console
from benchmarks.engine.throughput import Plan
from benchmarks.engine.workload import incidents, notes

ROOT = Path(__file__).parents[2]
KV = "f16"  # of the sections that look at one type only: the fastest on a CPU


def main() -> int:
    """Measure what was asked for."""
    asked = _arguments()
    if importlib.util.find_spec("xllamacpp") is None:
        sys.exit("the peer is not installed: pip install -e '.[bench]'")
    load = machine.load()
    console.print(f"{machine.describe()}; load {load:.2f}")
    if load > machine.QUIET:
        console.print(f"[bold red]This machine is busy (load {load:.2f}): the figures will mean little.[/]")
    kept: dict[str, Any] = {}
    if asked.json and asked.json.exists():
        kept = json.loads(asked.json.read_text("utf-8"))
    figures = asyncio.run(_measure(asked, kept))
    out = Console()
    for table in tables.tables(figures):
        out.print(tables.rich_table(table))
    out.print(*tables.machines(figures), sep="\n")
    return int(not all(gate.met for gate in tables.gates(figures)))


async def _measure(asked: argparse.Namespace, kept: dict[str, Any]) -> dict[str, Any]:
    """The figures of each section; what was kept of the others stays in the file."""
    plan, quick = _plan(asked), asked.quick
    jobs = plan.workloads["A"]
    runs = 1 if quick else asked.runs
    sections: dict[str, Callable[[], Awaitable[Any]]] = {
        "same": lambda: throughput.same_files(plan),
        "tuned": lambda: tuned.as_the_user_gets_it(plan),
        "question": lambda: question.arrivals(3 if quick else 20, 12 if quick else 100, KV),
        "neighbour": lambda: neighbour.beside_a_busy_process(jobs[:24], KV, psutil.cpu_count() or 1, runs),
        "restart": lambda: restart.first_texts(1 if quick else 5, KV),
        "cache": lambda: cache.compare(plan, jobs),
    }
    measured: dict[str, Any] = {}
    for name in asked.only:
        load = machine.load()
        console.print(f"{name} (load {load:.2f})")
        measured[name] = {
            "machine": machine.describe(),
            "load": load,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": quick,
            "measured": await sections[name](),
        }
        if asked.json:
            asked.json.write_text(json.dumps(kept | measured, indent=1) + "\n", "utf-8")
    return measured


def _plan(asked: argparse.Namespace) -> Plan:
    jobs, tagged = (8, 4) if asked.quick else asked.jobs
    prose = [ROOT / "docs" / f"{name}.md" for name in ("decisions", "glossary", "quickstart")]
    return Plan(
        workloads={"A": incidents(jobs), "B": notes(tagged, file=asked.notes)},
        runs=1 if asked.quick else asked.runs,
        threads=asked.threads,
        text="\n\n".join(file.read_text("utf-8") for file in prose),
        kv=asked.kv,
        weights=asked.weights,
        server=asked.server,
        choice=asked.choice,
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine", description="The engine beside its peers."
    )
    parser.add_argument("--quick", action="store_true", help="few jobs, one run: to see that it works")
    parser.add_argument("--runs", type=int, default=3, help="turns of each side (3)")
    parser.add_argument("--jobs", type=_numbers, default=(48, 24), help="of A and of B (48,24)")
    parser.add_argument("--only", default=tables.SECTIONS, type=_words, help=", ".join(tables.SECTIONS))
    parser.add_argument("--weights", default=("q4_1", "q4_0"), type=_words, help="same: their types")
    parser.add_argument("--kv", default=("f16", "q8_0"), type=_words, help="same: types of the cache")
    cores = psutil.cpu_count(logical=False) or 1
    parser.add_argument("--threads", type=int, default=cores, help=f"of the peers ({cores})")
    parser.add_argument("--server", type=Path, help="a llama-server that was built here, measured as well")
    parser.add_argument("--choice", type=Path, help="tuned: JSON of a choice, instead of a search")
    parser.add_argument("--notes", type=Path, help="B: JSON lines with a `text` each, instead of made-up notes")
    parser.add_argument("--json", type=Path, help="keep the raw figures; sections that are not measured stay")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
