"""`agentd doctor`: everything that a user could have wrong, and what to type for each. Changes nothing."""

import shutil
import sys
import textwrap
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from agentd.api.status_shapes import DiagnosisShape, DoctorShape
from agentd.cli.client import DaemonClient
from agentd.cli.render import PIPE_WIDTH, print_json
from agentd.cli.text import Style, printable
from agentd.doctor.checks import Check, examine
from agentd.doctor.diagnosis import Diagnosis, Level
from agentd.doctor.home import find_home
from agentd.errors import AgentdError
from agentd.paths import Paths, find_paths

_SECONDS = 10.0  # that the daemon may take to answer
_MARKS: dict[Level, tuple[str, Style]] = {
    Level.OK: ("✓", {"fg": "green"}),
    Level.WARNING: ("!", {"fg": "yellow", "bold": True}),
    Level.ERROR: ("✗", {"fg": "red", "bold": True}),
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Leave out what is as it should be.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, quiet: bool) -> None:
    """Look for everything that could be wrong, and say what to type for each.

    Works with and without the daemon, and changes nothing. Exits with 1 where there is an error; warnings are
    none.
    """
    paths = find_paths()
    status, silent = _ask(paths)
    found = examine(find_home(paths, datetime.now(UTC), status, silent))
    counts = dict.fromkeys(Level, 0)
    if as_json:
        shown = [_shape(check, diagnosis, counts) for check, diagnosis in found]
        shown = [one for one in shown if not quiet or one["level"] != Level.OK]
        told: DoctorShape = {
            "errors": counts[Level.ERROR],
            "warnings": counts[Level.WARNING],
            "diagnoses": shown,
        }
        print_json(told)
    else:
        _print(found, counts, quiet=quiet)
    if counts[Level.ERROR]:
        ctx.exit(1)


def _ask(paths: Paths) -> tuple[Any, AgentdError | None]:
    """What the daemon says of itself, or why it says nothing."""
    try:
        return DaemonClient(paths, _SECONDS).get("/v1/status"), None
    except AgentdError as silent:
        return None, silent


def _shape(check: Check, diagnosis: Diagnosis, counts: dict[Level, int]) -> DiagnosisShape:
    counts[diagnosis.level] += 1
    return {
        "group": check.group,
        "check": check.name,
        "level": diagnosis.level.value,
        "about": diagnosis.about,
        "told": diagnosis.told,
        "next": diagnosis.hint or None,
    }


def _print(found: Iterable[tuple[Check, Diagnosis]], counts: dict[Level, int], *, quiet: bool) -> None:
    """Each as it is known: some looks take seconds."""
    group = ""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    for check, diagnosis in found:
        counts[diagnosis.level] += 1
        if quiet and diagnosis.level is Level.OK:
            continue
        if check.group != group:
            click.secho(f"{chr(10) if group else ''}{check.group}", bold=True)
            group = check.group
        mark, style = _MARKS[diagnosis.level]
        dim = diagnosis.level is Level.OK
        first, *rest = _folded(f"{diagnosis.about}  {diagnosis.told}", width)
        click.echo(f"  {click.style(mark, **style)} {click.style(first, dim=dim)}")
        for line in rest:
            click.echo(f"    {click.style(line, dim=dim)}")
        if diagnosis.hint:
            # In one piece, so that it can be copied.
            click.echo(f"    next: {click.style(printable(diagnosis.hint), fg='cyan')}")
    errors, warnings = counts[Level.ERROR], counts[Level.WARNING]
    told = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    click.echo(f"\n{', '.join(told) or 'Everything is as it should be.'}")


def _folded(text: str, width: int) -> list[str]:
    """The text in lines that fit behind a mark."""
    text = printable(text).replace("\n", "↵")
    return textwrap.wrap(text, max(width - 5, 20), break_on_hyphens=False) or [""]
