"""`agentd logs`: what followed logs had to say. Reads the database; needs no daemon."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from rich.text import Text

from agentd.api.log_shapes import LogFindingShape
from agentd.cli.log_report import report
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import plain, print_json, print_table
from agentd.cli.results import parse_since
from agentd.cli.scan import scan
from agentd.cli.text import local_time, printable
from agentd.daemon import log_findings
from agentd.daemon.agent import Agent, now
from agentd.logs.cite import cite
from agentd.logs.profile import Example
from agentd.logs.report import sparkline
from agentd.logs.severity import SEVERITIES
from agentd.store import findings as store_findings

TREND = timedelta(days=1)
BARS = 24
GLANCE = 100  # characters of a pattern that a list shows to a person
COLOURS = {"critical": "bold red", "error": "red", "warning": "yellow", "notice": "cyan", "info": "dim"}

F = TypeVar("F", bound=Callable[..., Any])


def filters(command: F) -> F:
    """The options that lists share."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many."),
        click.option("--severity", type=click.Choice(SEVERITIES), help="Only of this severity or a worse one."),
        click.option("--since", callback=parse_since, help="Only what came since then: 2h, 3d or a date."),
        click.option("--source", help="Only of this log, written as in the config."),
    ):
        command = option(command)
    return command


@click.group(cls=Group, invoke_without_command=True)
@filters
@click.pass_context
def logs(ctx: click.Context, /, as_json: bool, **given: Any) -> None:
    """Show the few things in logs that deserve a look, or look closer.

    The daemon follows the logs that the config names. `agentd logs scan FILE` reads any log once.
    """
    if ctx.invoked_subcommand is None:
        _list_findings(as_json, muted=False, **given)
    else:
        refuse_group_options(ctx)


@logs.command()
@filters
@click.option("--muted", is_flag=True, help="Muted ones too.")
def findings(as_json: bool, muted: bool, **given: Any) -> None:
    """List findings, the worst first."""
    _list_findings(as_json, muted=muted, **given)


@logs.command()
@filters
def patterns(as_json: bool, **given: Any) -> None:
    """List the patterns of messages, those first that most deserve a look."""
    if given["source"]:
        given["source"] = _absolute(given["source"])
    minutes = int(TREND.total_seconds()) // 60

    async def load(agent: Agent) -> list[Any]:
        return await agent.store.read(log_findings.pattern_shapes, now(), minutes=minutes, **given)

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no patterns: name logs in the config, or agentd logs scan FILE", err=True)
    else:
        rows: list[list[str | Text]] = [
            [
                str(row["id"]),
                _coloured(row["severity"]),
                f"{row['count']:,}",
                _last_day(row["buckets"]),
                local_time(row["last"]) if row["last"] else "",
                _short(row["pattern"]),
            ]
            for row in found
        ]
        print_table(["id", "severity", "count", "last 24 h", "last", "pattern"], rows)


@logs.command()
@click.argument("finding_id", metavar="ID", type=ID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(finding_id: int, as_json: bool) -> None:
    """Show one finding whole, with the lines that it cites."""

    async def load(agent: Agent) -> tuple[LogFindingShape, list[int]]:
        found = await agent.store.read(log_findings.get_shape, finding_id, now())
        if not (found["first"] and found["last"]):
            return found, []
        times = (datetime.fromisoformat(found["first"]), datetime.fromisoformat(found["last"]))
        return found, await agent.store.read(log_findings.trend, found["pattern_id"], *times, BARS)

    found, counts = with_agent(load)
    if as_json:
        print_json(found)
        return
    points = ", ".join(f"{name} {value:+}" for name, value in found["parts"].items())
    facts = [
        ("finding", f"{found['id']}, {found['state']}{'' if found['looked_at'] else ', not yet looked at'}"),
        ("log", found["source"]),
        ("pattern", found["pattern"]),
        ("severity", f"{found['severity']}, {found['score']} of 100: {points}"),
        ("what", f"{found['category']}, {found['event']}: {found['summary']}"),
    ]
    if found["first"] and found["last"]:
        facts.append(("when", f"{local_time(found['first'])} – {local_time(found['last'])}  {sparkline(counts)}"))
    facts.append(("do", found["action"]))
    if said := found["explanation"]:
        facts.append(
            ("guess", f"{said['what_happened']} {said['likely_cause']} {said['next_step']} (by the model)")
        )
    for name, value in facts:
        click.echo(f"{name:<9} {plain(value)}")
    for example in found["examples"]:
        cited = cite(Example(**example))
        kept = " (it is not there any more; so it was)" if cited.kept else ""
        click.echo(f"\n{plain(cited.place)}{kept}:")
        click.echo(printable(cited.line))


@logs.command()
@click.argument("finding_id", metavar="ID", type=ID)
def mute(finding_id: int) -> None:
    """Leave a finding out of lists and reports from now on."""

    async def change(agent: Agent) -> None:
        await agent.store.write(store_findings.mute, finding_id, now())

    with_agent(change)
    click.echo(f"finding {finding_id} is muted: agentd logs unmute {finding_id} takes it up again")


@logs.command()
@click.argument("finding_id", metavar="ID", type=ID)
def unmute(finding_id: int) -> None:
    """Take a muted finding up again."""

    async def change(agent: Agent) -> None:
        await agent.store.write(store_findings.unmute, finding_id)

    with_agent(change)
    click.echo(f"finding {finding_id} is not muted any more")


logs.add_command(report)
logs.add_command(scan)


def _list_findings(as_json: bool, **given: Any) -> None:
    if given["source"]:
        given["source"] = _absolute(given["source"])

    async def load(agent: Agent) -> tuple[list[LogFindingShape], dict[int, list[int]]]:
        today = now()
        found = await agent.store.read(log_findings.find_shapes, today, **given)
        counts = {
            one["id"]: await agent.store.read(log_findings.trend, one["pattern_id"], today - TREND, today, BARS)
            for one in found
        }
        return found, counts

    found, counts = with_agent(load)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("nothing to report: agentd logs patterns shows what was read", err=True)
        return
    rows: list[list[str | Text]] = [
        [
            str(one["id"]),
            _coloured(one["severity"]),
            one["state"],
            f"{one['count']:,}",
            sparkline(counts[one["id"]]),
            local_time(one["last"]) if one["last"] else "",
            _short(one["pattern"]),
        ]
        for one in found
    ]
    print_table(["id", "severity", "state", "count", "last 24 h", "last", "pattern"], rows)
    waiting = sum(not one["looked_at"] for one in found)
    if waiting:
        click.echo(f"{waiting} not yet looked at by a model", err=True)


def _last_day(buckets: dict[str, int]) -> str:
    spans = [0] * BARS
    began = now() - TREND
    for stamp, count in buckets.items():
        passed = datetime.fromisoformat(stamp).astimezone(UTC) - began
        spans[min(max(int(passed / TREND * BARS), 0), BARS - 1)] += count
    return sparkline(spans)


def _coloured(severity: str) -> Text:
    return plain(severity, COLOURS[severity])


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= GLANCE else f"{pattern[: GLANCE - 1]}…"


def _absolute(source: str) -> str:
    """A path as the store has it; `journal` and what follows it as they are."""
    return source if source.startswith("journal") else os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111
