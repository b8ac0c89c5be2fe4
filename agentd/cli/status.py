"""`agentd status`: how the daemon is. Works without one, from the database, and exits with 3 then.

Typed all day, so next to nothing is imported before it is needed. What the page says, `status_page` knows.
"""

import shutil
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from agentd.cli.status_page import page, told_error
from agentd.errors import AgentdError, NotRunning
from agentd.paths import Paths, find_paths

PIPE_WIDTH = 100_000  # columns: nothing is folded for a program
# What a terminal obeys: another screen without a cursor, and back; to the top; the rest of a line, of the screen.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_TOP, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Stay, and show how it changes, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="With --watch, seconds between two looks.",
)
@click.pass_context
def status(ctx: click.Context, as_json: bool, watch: bool, interval: float) -> None:
    """Show how the daemon is, what is loaded and what is to do."""
    paths = find_paths()
    if watch:
        if as_json or not sys.stdout.isatty():
            raise click.UsageError("--watch is for a terminal; `agentd status --json` is for programs", ctx)
        _watch(ctx, paths, interval)
        return
    shape = _look(paths)
    if as_json:
        import json

        click.echo(json.dumps(shape, indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
        click.echo("\n".join(page(shape, paths.log, datetime.now(UTC), width)))
    if shape["pid"] is None:
        click.echo("error: the daemon is not running\nnext:  agentd start --detach", err=True)
        ctx.exit(3)


def _look(paths: Paths) -> Any:
    from agentd.cli.client import DaemonClient

    try:
        return DaemonClient(paths).get("/v1/status")
    except NotRunning:
        return _from_database(paths)


def _watch(ctx: click.Context, paths: Paths, interval: float) -> None:
    """Draw the page again and again, on a screen of its own; whatever cannot be had now may come back."""
    try:
        sys.stdout.write(_ENTER)
        while True:
            columns, rows = shutil.get_terminal_size()
            try:
                lines = page(_look(paths), paths.log, datetime.now(UTC), columns)
            except AgentdError as error:
                lines = told_error(error, columns)
            foot = f"{datetime.now():%H:%M:%S}, every {interval:g} s; Ctrl-C ends"
            sys.stdout.write(_screen(lines, foot, columns, rows, plain=ctx.color is False))
            sys.stdout.flush()
            time.sleep(interval)
    except KeyboardInterrupt:
        pass  # how a person ends it
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _screen(lines: list[str], foot: str, columns: int, rows: int, *, plain: bool) -> str:
    """What redraws a terminal of that size without a flicker; `plain` leaves colours out."""
    room = max(rows - 1, 1)
    if len(lines) > room:
        hidden = len(lines) - room + 1
        lines = [*lines[: room - 1], click.style(f"… {hidden} more lines: agentd status", dim=True)]
    drawn = [*lines, *[""] * (room - len(lines)), click.style(foot[:columns], dim=True)]
    if plain:
        drawn = [click.unstyle(line) for line in drawn]
    return _TOP + f"{_REST_OF_LINE}\n".join(drawn) + _REST_OF_LINE + _REST


def _from_database(paths: Paths) -> Any:
    from agentd.api.shapes import backfill_shape
    from agentd.daemon.report import LAST_ERRORS, report_stopped
    from agentd.daemon.settings import load_config
    from agentd.records import JobState
    from agentd.store import backfills, changes, outlook, queue
    from agentd.store.database import pending_steps, read_once

    config = load_config(paths.config)
    if not paths.database.exists():
        return report_stopped(config, dict.fromkeys(JobState, 0), 0.0)
    if pending := read_once(paths.database, pending_steps):
        # Its tables may lack what is asked for; that they exist is all that is known of every schema.
        shape = report_stopped(config, read_once(paths.database, queue.count_states))
        told = f"the database is of an earlier agentd: the next start brings it up to {pending[-1]}"
        notice = f"{told}, and keeps a copy of it as it is"
        return shape | {"notices": [notice]}
    shape = report_stopped(
        config,
        read_once(paths.database, queue.count_states),
        read_once(paths.database, outlook.seconds_left),
        read_once(paths.database, outlook.find_lines),
        read_once(paths.database, queue.last_errors, LAST_ERRORS),
    )
    shape["backfills"] = [backfill_shape(one, None) for one in read_once(paths.database, backfills.unfinished)]
    planned = read_once(paths.database, changes.count_states)
    return shape | {"changes": {state.value: count for state, count in planned.items() if count}}
