"""`agentd results`: what came of the jobs. Reads the database; needs no daemon."""

import sys
from datetime import UTC, datetime

import click

from agentd.api.shapes import ResultShape, result_shape
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import plain, print_json, print_table
from agentd.cli.text import coverage_text, likelihoods, local_time, output_line, percent, short_source, why_text
from agentd.config import parse_duration
from agentd.daemon.agent import Agent
from agentd.store import results as store_results

GLANCE = 160  # characters of an output that a person's list shows; `results show` has the whole
SHOWN_CHOICES = 3  # of a property that was chosen by score, the most likely; the JSON has all


def parse_since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """`2h`, `3d`, a date or a date and time in the user's zone."""
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() - parse_duration(value), UTC)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        raise click.BadParameter("write it like 2h, 3d or 2026-05-31") from None


@click.group(cls=Group, invoke_without_command=True)
@click.option("--task", help="Only results of this task.")
@click.option("--since", callback=parse_since, help="Only results since then: 2h, 3d or a date.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def results(ctx: click.Context, task: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List results, newest first, or show one."""
    if ctx.invoked_subcommand is None:
        _list(task, since, limit, as_json)
    else:
        refuse_group_options(ctx)


@results.command("list")
@click.option("--task", help="Only results of this task.")
@click.option("--since", callback=parse_since, help="Only results since then: 2h, 3d or a date.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_results(task: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """List results, newest first."""
    _list(task, since, limit, as_json)


@results.command("show")
@click.argument("result_id", metavar="ID", type=ID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(result_id: int, as_json: bool) -> None:
    """Show one result whole."""

    async def load(agent: Agent) -> ResultShape:
        stored = await agent.store.read(store_results.get, result_id)
        return result_shape(stored, stale=agent.is_stale(stored))

    result = with_agent(load)
    if as_json:
        print_json(result)
        return
    coverage, tokens = result["coverage"], result["tokens"]
    fake = " (fake: placeholder values, no model)" if result["fake"] else ""
    stale = " (stale: the task or its model has changed since)" if result["stale"] else ""
    facts = [
        ("result", f"{result['id']} of job {result['job_id']}{stale}"),
        ("task", result["task"]),
        ("source", result["source"]),
        ("created", local_time(result["created"])),
        ("model", f"{result['model']}, KV cache {result['kv_cache']}{fake}"),
        ("coverage", coverage_text(coverage)),
        *(("missing", told) for told in coverage["missing"]),
        ("tokens", f"{tokens['input']:,} in ({tokens['cached']:,} cached), {tokens['output']:,} out"),
        ("time", f"{result['seconds']:.1f} s{_share(result)}"),
    ]
    facts += [("scored", _choices(name, weights)) for name, weights in result["probabilities"].items()]
    facts += [
        ("why", f"{name}: {told}") for name, values in result["why"].items() for told in map(why_text, values)
    ]
    facts += [("place", f"{path}: {place}") for path, place in result["places"].items()]
    for name, value in facts:
        click.echo(f"{name:<9} {plain(value)}")
    print_json(result["output"])


def _list(task: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    async def load(agent: Agent) -> list[ResultShape]:
        found = await agent.store.read(store_results.find, task=task, since=since, limit=limit)
        return [result_shape(stored, stale=agent.is_stale(stored)) for stored in found]

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no results: agentd run TASK PATH makes one", err=True)
    else:
        print_table(["id", "task", "source", "output", "created"], [_row(result) for result in found])


def _row(result: ResultShape) -> list[str]:
    marks = [name for name in ("stale", "fake") if result[name]]
    task = result["task"] + (f" ({', '.join(marks)})" if marks else "")
    return [
        str(result["id"]),
        task,
        short_source(result["source"]),
        output_line(result["output"], likelihoods(result), GLANCE if sys.stdout.isatty() else None),
        local_time(result["created"]),
    ]


def _share(result: ResultShape) -> str:
    return f" ({result['engine_seconds']:.1f} s of the engine's)" if result["engine_seconds"] else ""


def _choices(name: str, weights: dict[str, float]) -> str:
    """A property that was chosen by score, with its most likely choices."""
    likely = sorted(weights.items(), key=lambda choice: -choice[1])
    shown = ", ".join(f"{choice} ({percent(weight)})" for choice, weight in likely[:SHOWN_CHOICES])
    return f"{name}: {shown}{', …' if len(likely) > SHOWN_CHOICES else ''}"
