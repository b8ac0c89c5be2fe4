"""`agentd run`: a task on files now, through the daemon or with an engine of its own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from agentd.api.app import RenderBody, RunBody
from agentd.cli.client import DaemonClient
from agentd.cli.render import notes, plain, print_json, print_table
from agentd.cli.text import absolute_source, likelihoods, output_line, printable, short_source
from agentd.daemon.agent import open_agent
from agentd.daemon.requests import Requests, requests_without_daemon
from agentd.errors import NotRunning
from agentd.paths import Paths, find_paths
from agentd.readers.decode import not_utf8

T = TypeVar("T")


@click.command()
@click.argument("task")
@click.argument("inputs", metavar="PATH…|-", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Show the exact prompt and its length in tokens; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def run(ctx: click.Context, task: str, inputs: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Run TASK on each file now, or on standard input with -.

    The daemon does it if it runs; else the model is loaded for this command alone, which takes longer. Exits
    with 1 when any input failed.
    """
    paths = find_paths()
    sources = [absolute_source(path) for path in inputs if path != "-"]
    text = _read_stdin() if "-" in inputs else None
    if dry_run:
        if len(inputs) > 1:
            raise click.UsageError("--dry-run shows one prompt: give one path")
        _dry_run(paths, {"task": task, "path": sources[0] if sources else None, "text": text}, as_json)
        return
    body = {"task": task, "paths": sources, "texts": [] if text is None else [text]}
    ended: list[dict[str, Any]] = []

    def take(part: dict[str, Any]) -> None:
        if part["type"] == "progress" and not as_json:
            notes().print(plain(f"{part['job']['progress']} of {short_source(part['job']['source'])}"))
        if part["type"] == "job":
            ended.append(part)
            if not as_json:
                _tell(part, len(ended), len(inputs))

    stream_run(paths, body, take)
    ended.sort(key=lambda part: int(part["job"]["id"]))  # as they were given, not as they ended
    results = [part["result"] for part in ended if part["result"]]
    if as_json:
        print_json(results)
    elif results:
        rows = [
            (short_source(result["source"]), output_line(result["output"], likelihoods(result)))
            for result in results
        ]
        print_table(["source", "output"], rows)
    planned = [str(change) for part in ended for change in part["changes"]]
    if not as_json:
        if planned:
            word = "change" if len(planned) == 1 else "changes"
            click.echo(f"{len(planned):,} {word} planned: agentd changes show {planned[0]}", err=True)
        for note in sorted({part["note"] for part in ended if part["note"]}):
            click.echo(f"note:  {plain(note)}: agentd config path", err=True)
    for part in ended:
        if not part["result"]:
            job = part["job"]
            click.echo(f"error: job {job['id']}: {plain(job['error'] or job['state'])}", err=True)
            click.echo(f"next:  {plain(job['hint'] or 'agentd jobs show ' + str(job['id']))}", err=True)
    if len(results) < len(ended):
        ctx.exit(1)


def stream_run(paths: Paths, body: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
    """Run a task through the daemon, or with an engine of our own; `take` gets a part as each job ends."""

    async def alone(requests: Requests) -> None:
        async for part in requests.run(RunBody(**body)):
            take(part)

    try:
        for part in DaemonClient(paths).stream("/v1/run", body):
            take(part)
    except NotRunning:
        asyncio.run(_without_daemon(paths, body["task"], alone))


def _dry_run(paths: Paths, body: dict[str, Any], as_json: bool) -> None:
    try:
        rendered = DaemonClient(paths).post("/v1/render", body)
    except NotRunning:
        rendered = asyncio.run(
            _without_daemon(paths, body["task"], lambda requests: requests.render(RenderBody(**body)))
        )
    if as_json:
        print_json(rendered)
        return
    # Exact for a program; a terminal must not obey what the document says.
    click.echo(printable(rendered["prompt"]) if sys.stdout.isatty() else rendered["prompt"])
    fits = "it fits" if rendered["tokens"] <= rendered["room"] else "it does not fit and is read in parts"
    click.echo(f"{rendered['tokens']:,} tokens, room for {rendered['room']:,}: {fits}", err=True)


async def _without_daemon(paths: Paths, task: str, work: Callable[[Requests], Awaitable[T]]) -> T:
    """Do it with an engine of our own, and say so."""
    async with open_agent(paths) as agent:
        model = agent.task(task).model
        say_alone()
        async with requests_without_daemon(agent, model) as requests:
            return await work(requests)


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as broken:
        raise not_utf8(broken, "standard input", "iconv -f latin1 -t utf-8 | agentd run TASK -") from broken


def say_alone() -> None:
    """Tell that there is no daemon to ask."""
    notes().print("no daemon is running: loading the model for this command alone (agentd start --detach)")


def _tell(part: dict[str, Any], done: int, total: int) -> None:
    job = part["job"]
    seconds = f" in {part['result']['seconds']:.1f} s" if part["result"] else ""
    notes().print(plain(f"[{done}/{total}] {job['state']} {short_source(job['source'])}{seconds}"))
