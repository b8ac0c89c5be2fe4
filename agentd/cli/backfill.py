"""`agentd backfill`: let a task do files that are there already; see how far it is, pause and resume it."""

import time
from functools import partial

import click
from rich.progress import BarColumn, Progress, TextColumn

from agentd.api.app import BackfillBody
from agentd.api.shapes import BackfillShape
from agentd.cli.client import DaemonClient
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import steer, with_agent
from agentd.cli.render import notes, plain, print_json, print_table, state_text
from agentd.cli.text import absolute_source, local_time, printable, seconds_text, short_source
from agentd.daemon import backfill as work
from agentd.daemon.agent import Agent
from agentd.daemon.requests import Requests
from agentd.errors import NotRunning
from agentd.paths import find_paths
from agentd.records import path_of
from agentd.store import backfills

POLL_SECONDS = 0.5


class _Starting(Group):
    """A group whose first word may be a task: `agentd backfill TASK PATH…` starts one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; `start` where they begin with anything else."""
        if self.get_command(ctx, args[0]) is None:
            args = ["start", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Starting,
    invoke_without_command=True,
    subcommand_metavar="TASK PATH… | COMMAND",
    context_settings={"ignore_unknown_options": True},  # those of `start` come before a task as well
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def backfill(ctx: click.Context, as_json: bool) -> None:
    """Let a task do files that are there already, behind everything else.

    `agentd backfill TASK PATH…` begins one: every file at or below the paths that the task reads and has not
    done as it is gets a job of the lowest priority. What lands in a watched folder meanwhile goes before.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_backfills, as_json=as_json)
    else:
        refuse_group_options(ctx)


@backfill.command("start")
@click.argument("task")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Also what is done already.")
@click.option("--dry-run", is_flag=True, help="Count the files; do nothing.")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once it has ended.")
@click.pass_context
def start(
    ctx: click.Context, task: str, paths: tuple[str, ...], again: bool, dry_run: bool, detach: bool, as_json: bool
) -> None:
    """Begin a backfill and show how far it is; it goes on when this command is ended."""
    absolute = [absolute_source(path) for path in paths]
    if dry_run:
        _preview(task, absolute, again, as_json)
        return
    body = BackfillBody(task=task, paths=absolute, again=again)
    try:
        shape = DaemonClient(find_paths()).post("/v1/backfills", body.model_dump())
    except NotRunning:
        shape = with_agent(lambda agent: Requests(agent, {}).begin_backfill(body))
        notes().print(f"backfill {shape['id']} is noted; a daemon does it: agentd start --detach")
        detach = True
    if not detach:
        shape = _watch(shape)
    if as_json:
        print_json(shape)
    elif not detach:
        _tell_end(shape)
    else:
        notes().print(f"next:  agentd backfill show {shape['id']}")
    if shape["failed"] or shape["error"]:
        ctx.exit(1)


@backfill.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_backfills(limit: int = 20, as_json: bool = False) -> None:
    """List backfills, newest first."""

    async def load(agent: Agent) -> list[BackfillShape]:
        return [await work.shape(agent, one) for one in await agent.store.read(backfills.find, limit)]

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no backfills: agentd backfill TASK PATH… begins one", err=True)
    else:
        rows = [
            (str(one["id"]), state_text(one["state"]), one["task"], _progress(one), _eta(one), _paths(one))
            for one in found
        ]
        print_table(["id", "state", "task", "done", "left", "paths"], rows)


@backfill.command("show")
@click.argument("backfill_id", metavar="ID", type=ID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(backfill_id: int, as_json: bool) -> None:
    """Show one backfill whole."""
    shape = with_agent(lambda agent: Requests(agent, {}).show_backfill(backfill_id))
    if as_json:
        print_json(shape)
        return
    facts = [
        ("backfill", f"{shape['id']} ({shape['task']})"),
        ("state", f"{shape['state']}{': ' + shape['error'] if shape['error'] else ''}"),
        ("done", _progress(shape)),
        ("left", _eta(shape)),
        ("no job", _without(shape)),
        ("begun", local_time(shape["created"])),
        *(("path", short_source(path)) for path in shape["paths"]),
    ]
    for name, value in facts:
        if value:
            click.echo(f"{name:<9} {plain(value)}")


@backfill.command("watch")
@click.argument("backfill_id", metavar="ID", type=ID)
@click.pass_context
def watch(ctx: click.Context, backfill_id: int) -> None:
    """Show how far a backfill is until it has ended."""
    shape = _watch(with_agent(lambda agent: Requests(agent, {}).show_backfill(backfill_id)))
    _tell_end(shape)
    if shape["failed"] or shape["error"]:
        ctx.exit(1)


@backfill.command("pause")
@click.argument("backfill_id", metavar="ID", type=ID)
def pause(backfill_id: int) -> None:
    """Put its jobs aside; those that have begun are done."""
    shape = _steer(backfill_id, "pause")
    click.echo(f"backfill {backfill_id} is paused: {shape['queued']:,} jobs wait", err=True)
    click.echo(f"next:  agentd backfill resume {backfill_id}", err=True)


@backfill.command("resume")
@click.argument("backfill_id", metavar="ID", type=ID)
def resume(backfill_id: int) -> None:
    """Go on with one that was paused."""
    shape = _steer(backfill_id, "resume")
    click.echo(f"backfill {backfill_id} goes on: {shape['queued']:,} jobs", err=True)


@backfill.command("cancel")
@click.argument("backfill_id", metavar="ID", type=ID)
def cancel(backfill_id: int) -> None:
    """End its jobs; results that are there stay."""
    shape = _steer(backfill_id, "cancel")
    click.echo(f"backfill {backfill_id} is {shape['state']}: {shape['cancelled']:,} jobs ended", err=True)


def _steer(backfill_id: int, what: str) -> BackfillShape:
    alone = partial(Requests.steer_backfill, backfill_id=backfill_id, what=what)
    shape: BackfillShape = steer(f"/v1/backfills/{backfill_id}/{what}", alone)
    return shape


def _preview(task: str, paths: list[str], again: bool, as_json: bool) -> None:
    found = with_agent(partial(work.preview, name=task, paths=[path_of(path) for path in paths]))
    jobs = found.files if again else found.files - found.known
    if as_json:
        print_json({"files": found.files, "known": found.known, "left_out": found.left_out, "jobs": jobs})
        return
    left_out = f"; {found.left_out:,} more not for {printable(task)}" if found.left_out else ""
    told = f"{jobs:,} jobs: {found.files:,} files, {found.known:,} of them done or queued already{left_out}"
    click.echo(told, err=True)


def _watch(shape: BackfillShape) -> BackfillShape:
    """Show a bar until a backfill has ended or is paused; Ctrl-C leaves it to the daemon."""
    client = DaemonClient(find_paths())
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    console = notes()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(f"{shape['task']}", total=None, told="")
        try:
            while shape["state"] in ("listing", "running"):
                total = shape["total"] if shape["state"] == "running" else None
                told = ", ".join(part for part in (_progress(shape), _eta(shape)) if part)
                bar.update(line, total=total, completed=_ended(shape), told=told)
                time.sleep(POLL_SECONDS)
                shape = client.get(f"/v1/backfills/{shape['id']}")
        except KeyboardInterrupt:
            bar.stop()
            number = shape["id"]
            notes().print(f"the daemon goes on: agentd backfill watch {number}, or agentd backfill pause {number}")
            raise
    return shape


def _tell_end(shape: BackfillShape) -> None:
    number = shape["id"]
    without = f"; {_without(shape)}" if _without(shape) else ""
    click.echo(f"backfill {number} is {shape['state']}: {_progress(shape)}{without}", err=True)
    if shape["error"]:
        click.echo(f"error: {printable(shape['error'])}\nnext:  {printable(shape['hint'] or '')}", err=True)
    elif shape["state"] == "paused":
        click.echo(f"next:  agentd backfill resume {number}", err=True)
    elif shape["failed"]:
        click.echo(f"next:  agentd jobs list --backfill {number}", err=True)


def _ended(shape: BackfillShape) -> int:
    return shape["done"] + shape["failed"] + shape["cancelled"]


def _progress(shape: BackfillShape) -> str:
    failed = f", {shape['failed']:,} failed" if shape["failed"] else ""
    return f"{shape['done']:,}/{shape['total']:,}{failed}"


def _eta(shape: BackfillShape) -> str:
    return "" if shape["eta_seconds"] is None else f"about {seconds_text(shape['eta_seconds'])}"


def _without(shape: BackfillShape) -> str:
    """Files that got no job, in words."""
    known = f"{shape['known']:,} done or queued before" if shape["known"] else ""
    left_out = f"{shape['left_out']:,} not for this task" if shape["left_out"] else ""
    unreadable = f"{shape['unreadable']:,} folders could not be listed" if shape["unreadable"] else ""
    return ", ".join(part for part in (known, left_out, unreadable) if part)


def _paths(shape: BackfillShape) -> str:
    more = f" and {len(shape['paths']) - 1} more" if len(shape["paths"]) > 1 else ""
    return f"{short_source(shape['paths'][0])}{more}"
