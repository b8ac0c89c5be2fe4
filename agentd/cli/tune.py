"""`agentd model tune`: measure how a model runs best on this machine, through the daemon or alone."""

import asyncio
import contextlib
from collections.abc import Callable
from statistics import median
from typing import Any
from urllib.parse import quote

import click
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from agentd.cli.client import DaemonClient
from agentd.cli.render import notes, plain, print_json, print_table
from agentd.cli.text import seconds_text
from agentd.daemon import tuning
from agentd.daemon.agent import Agent, open_agent
from agentd.daemon.settings import load_config
from agentd.errors import NotRunning
from agentd.paths import Paths, find_paths

BUSY_CORES = 0.3  # of others, from which on the figures are not to be trusted
RESET_SECONDS = 660.0  # loading has its own bound
COLUMNS = ("", "threads", "batch", "requests", "KV cache", "weights", "prompt t/s", "answer t/s", "jobs/min", "")

Take = Callable[[dict[str, Any]], None]


@click.command("tune")
@click.argument("name", required=False)
@click.option("--reset", is_flag=True, help="Forget what was measured, and run with the defaults again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tune(name: str | None, reset: bool, as_json: bool) -> None:
    """Measure how the model NAME runs best on this machine, with your own tasks, and let it run so.

    Threads, types of the KV cache, weights, requests at a time and the size of a step are tried, one after the
    other. Smaller types are taken only where the texts are predicted as well and the choices are the same. The
    model is out of memory meanwhile, and its jobs wait. Ctrl-C leaves everything as it was.
    """
    paths = find_paths()
    models = load_config(paths.config).text_models
    name = name or ("main" if "main" in models else models[0])
    if reset:
        _reset(paths, name)
        notes().print(plain(f"what was measured of {name} is forgotten: it runs with the defaults"))
        return
    found = _measure(paths, name)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(row) for row in found["rows"]])
    for line in _footer(found):
        notes().print(plain(line))


def _measure(paths: Paths, name: str) -> Any:
    """Run the search with a bar on standard error; what came of it."""
    found = None
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=notes(), transient=True) as progress:
        bar = progress.add_task("loading the model", total=None, left="")

        def take(part: dict[str, Any]) -> None:
            nonlocal found
            if part["type"] == "done":
                found = part["tune"]
            else:
                known = part["left"] > 0  # until something was measured, nobody can say how long the rest takes
                progress.update(
                    bar,
                    description=part["text"],
                    completed=part["done"],
                    total=part["done"] + part["left"] if known else None,
                    left=f"about {seconds_text(part['left'])} left" if known else "",
                )

        _stream(paths, name, take)
    return found


def _stream(paths: Paths, name: str, take: Take) -> None:
    async def alone(agent: Agent) -> None:
        async with contextlib.aclosing(tuning.tune(agent, name)) as parts:
            async for part in parts:
                take(part)

    try:
        for part in DaemonClient(paths).stream(_route(name, "tune"), None):
            take(part)
    except NotRunning:
        asyncio.run(_with_agent(paths, alone))


def _reset(paths: Paths, name: str) -> None:
    try:
        DaemonClient(paths, RESET_SECONDS).post(_route(name, "reset"))
    except NotRunning:
        asyncio.run(_with_agent(paths, lambda agent: tuning.reset(agent, name)))


async def _with_agent(paths: Paths, work: Callable[[Agent], Any]) -> None:
    async with open_agent(paths) as agent:
        await work(agent)


def _route(name: str, what: str) -> str:
    return f"/v1/models/{quote(name, safe='')}/{what}"


def _row(row: Any) -> list[str | Text]:
    mark = "→" if row["chosen"] else "·" if row["default"] else ""
    cells = [
        mark,
        str(row["threads"]),
        str(row["batch"]),
        str(row["parallel"]),
        row["kv_cache"],
        row["weights"] or "the file's",
        _rate(row["prompt_rate"]),
        _rate(row["answer_rate"]),
        _speed(row),
        _note(row),
    ]
    style = "bold green" if row["chosen"] else "dim" if row["refused"] else ""
    return [plain(cell, style) for cell in cells]


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate else "–"


def _speed(row: Any) -> str:
    """Jobs a minute: of whole jobs, with the spread where there were several runs, or estimated."""
    if not row["runs"]:
        return f"~ {median(row['estimates']):.1f}" if row["estimates"] else "–"
    spread = (max(row["runs"]) - min(row["runs"])) / 2
    return f"{median(row['runs']):.1f}" + (f" ± {spread:.1f}" if spread else "")


def _note(row: Any) -> str:
    """Why a setting was refused, or how it was judged, and what it is."""
    if row["refused"]:
        return f"refused: {row['refused']}"
    told = []
    if row["chosen"]:
        told.append("chosen")
    if row["default"]:
        told.append("the defaults")
    if row["perplexity"] is not None:
        told.append(f"perplexity {row['perplexity'] - 1:+.1%}".replace("%", " %"))
    if row["agreement"]:
        equal, of = row["agreement"]
        told.append(f"{equal} of {of} choices equal")
    return ", ".join(told)


def _footer(found: Any) -> list[str]:
    """How the figures came about, and what they changed."""
    lines = [f"~: from short samples; without it: from {found['jobs']} whole jobs each time"]
    if found["others"] > BUSY_CORES:
        lines.append(
            f"others used {found['others']:.1f} cores meanwhile: the figures would be better on a quiet machine"
        )
    name = found["model"]
    if next(row for row in found["rows"] if row["chosen"])["default"]:
        lines.append(f"nothing was faster than the defaults by more than chance: {name} runs with them")
    else:
        lines.append(
            f"{found['gain']:.1f}× the jobs a minute of the defaults; stored; "
            f"`agentd model tune {name} --reset` forgets it"
        )
    return lines
