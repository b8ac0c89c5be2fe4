"""`agentd logs report`: what followed logs had to say, as Markdown to forward."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from agentd.api.log_shapes import LogFindingShape
from agentd.cli.opened import with_agent
from agentd.cli.render import notes, plain
from agentd.cli.results import parse_since
from agentd.cli.run import stream_run
from agentd.cli.text import local_time, printable
from agentd.daemon import log_findings
from agentd.daemon.agent import Agent, now
from agentd.errors import AgentdError
from agentd.logs.profile import Example
from agentd.logs.report import Item, sparkline
from agentd.logs.report import report as write_report
from agentd.logs.triage import Opinion
from agentd.paths import find_paths

TASK = "log-report"
BARS = 24
MOST = 25


@click.command()
@click.option("--since", callback=parse_since, help="What came since then: 2h, 3d or a date. [default: 1d]")
@click.option("--no-model", is_flag=True, help="Leave out the summary by a model.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write it to a file.")
@click.pass_context
def report(ctx: click.Context, since: datetime | None, no_model: bool, output: str | None) -> None:
    """Write what logs had to say as Markdown: what is new, grew or went silent, and what to do.

    The task log-report sums it up at the top. Exits with 1 where that failed; the rest is told all the same.
    """
    began = since or now() - timedelta(days=1)

    async def load(agent: Agent) -> tuple[list[LogFindingShape], dict[int, list[int]]]:
        today = now()
        found = await agent.store.read(
            log_findings.find_shapes, today, source=None, since=began, severity=None, muted=False, limit=1000
        )
        counts = {
            one["id"]: await agent.store.read(log_findings.trend, one["pattern_id"], began, today, BARS)
            for one in found[:MOST]
        }
        return found, counts

    found, counts = with_agent(load)
    items = [_item(one, counts[one["id"]]) for one in found[:MOST]]
    facts = [f"Since {local_time(began.astimezone(UTC).isoformat())}."]
    text = write_report("Logs", facts, items, len(found) - len(items))
    problem = None
    if items and not no_model:
        try:
            facts = [*facts, "", *_summary(text)]
            text = write_report("Logs", facts, items, len(found) - len(items))
        except AgentdError as refusal:
            problem = refusal
    if output:
        Path(output).write_text(text, "utf-8")
    else:
        click.echo(printable(text).rstrip())
    if problem:
        notes().print(plain(f"error: the report is not summed up: {problem.message}"))
        notes().print(plain(f"next:  {problem.hint}"))
        ctx.exit(1)


def _summary(text: str) -> list[str]:
    """What a model makes of the report; raises `AgentdError` where it cannot be asked."""
    outputs = list[dict[str, Any]]()

    def take(part: dict[str, Any]) -> None:
        if part["type"] != "job":
            return
        if not part["result"]:
            raise AgentdError(part["job"]["error"], hint=part["job"]["hint"])
        outputs.append(part["result"]["output"])

    stream_run(find_paths(), {"task": TASK, "paths": [], "texts": [text]}, take)
    said = [" ".join(str(value).split()) for output in outputs for value in output.values()]
    return [f"> {line}" for line in (*said, "(a model's summary; the findings below are counted)")]


def _item(one: LogFindingShape, counts: list[int]) -> Item:
    said = one["explanation"]
    when = [local_time(stamp) for stamp in (one["first"], one["last"]) if stamp]
    return Item(
        id=one["id"],
        title=one["pattern"],
        severity=one["severity"],
        category=one["category"],
        event=one["event"],
        summary=one["summary"] + ("" if one["looked_at"] else " (not yet looked at by a model)"),
        action=one["action"],
        period=" – ".join(dict.fromkeys(when)),
        trend=sparkline(counts),
        examples=tuple(Example(**example) for example in one["examples"]),
        opinion=Opinion(one["severity"], one["category"], **said) if said else None,
    )
