"""`agentd changes`: what results would do and what they did, seen, applied, undone and refused."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click
from rich.console import Console

from agentd.api.shapes import ChangeShape, change_shape
from agentd.cli.client import DaemonClient
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import plain, print_json, print_table, state_text
from agentd.cli.results import parse_since
from agentd.cli.text import local_time, printable, short_source
from agentd.daemon.agent import Agent
from agentd.daemon.lock import hold
from agentd.daemon.requests import Requests
from agentd.errors import AgentdError, ChangeError, NotRunning
from agentd.paths import find_paths
from agentd.records import Change, ChangeState
from agentd.store import changes as store_changes

_STATES = click.Choice([state.value for state in ChangeState])
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_DONE = {"apply": "applied", "undo": "undone", "refuse": "refused"}
# Whom a command means where it is told by --job, --since or --all.
_MEANT = {"apply": ChangeState.PLANNED, "undo": ChangeState.APPLIED, "refuse": ChangeState.PLANNED}


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def changes(ctx: click.Context, as_json: bool) -> None:
    """See, apply, undo and refuse what results would do."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_changes, as_json=as_json)
    else:
        refuse_group_options(ctx)


@changes.command("list")
@click.option("--state", type=_STATES, help="Only changes in this state.")
@click.option("--job", "job_id", type=ID, help="Only changes of this job.")
@click.option("--since", callback=parse_since, help="Only changes since then: 2h, 3d or a date.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_changes(
    state: str | None = None,
    job_id: int | None = None,
    since: datetime | None = None,
    limit: int = 50,
    as_json: bool = False,
) -> None:
    """List changes, newest first."""

    async def load(agent: Agent) -> list[ChangeShape]:
        states = [ChangeState(state)] if state else []
        found = await agent.store.read(store_changes.find, states=states, job_id=job_id, since=since, limit=limit)
        return [change_shape(change) for change in found]

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no changes", err=True)
    else:
        rows = [
            (str(c["id"]), state_text(c["state"]), c["kind"], short_source(c["path"]), _what(c), c["error"] or "")
            for c in found
        ]
        print_table(["id", "state", "kind", "file", "change", "error"], rows)
        if any(change["state"] == ChangeState.PLANNED for change in found):
            click.echo("next:  agentd changes show ID, agentd changes apply ID… or --all", err=True)


@changes.command("show")
@click.argument("change_id", metavar="ID", type=ID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(change_id: int, as_json: bool) -> None:
    """Show one change whole, with its diff."""

    async def load(agent: Agent) -> tuple[ChangeShape, list[str], str, list[str]]:
        change = await agent.store.read(store_changes.get, change_id)
        return change_shape(change), *await _diff(agent, change), await agent.changes.drift(change)

    change, diff, problem, drift = with_agent(load)
    if as_json:
        print_json({**change, "diff": diff, "drift": drift})
        return
    facts = [
        ("change", f"{change['id']} of result {change['result_id']} ({change['task']})"),
        ("state", change["state"] + (" (without being asked)" if change["auto"] else "")),
        ("kind", change["kind"]),
        ("file", change["path"]),
        ("what", _what(change)),
        ("error", change["error"] or problem),
        ("next", change["hint"] or ""),
        *((name, local_time(str(change[name]))) for name in ("created", "applied", "undone") if change[name]),
    ]
    for name, value in facts:
        if value:
            click.echo(f"{name:<9} {plain(value)}")
    _print_diff(diff)
    if drift:
        click.echo("the file has changed since:", err=True)
        _print_diff(drift)


def _selecting(command: Any) -> Any:
    """The ways of saying which changes are meant."""
    for option in (
        click.argument("change_ids", metavar="[ID…]", type=ID, nargs=-1),
        click.option("--job", "job_id", type=ID, help="All changes of this job."),
        click.option("--since", callback=parse_since, help="All changes since then: 2h, 3d or a date."),
        click.option("--all", "everything", is_flag=True, help="All there are."),
        click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing."),
    ):
        command = option(command)
    return command


@changes.command("apply")
@_selecting
@click.pass_context
def apply(ctx: click.Context, /, **which: Any) -> None:
    """Make planned changes; each can be undone. By its ID, also one that failed, or was refused or undone."""
    _steer(ctx, "apply", **which)


@changes.command("undo")
@_selecting
@click.pass_context
def undo(ctx: click.Context, /, **which: Any) -> None:
    """Take applied changes back, byte for byte, the newest first. A file that has changed since stays as it is."""
    _steer(ctx, "undo", **which)


@changes.command("refuse")
@_selecting
@click.pass_context
def refuse(ctx: click.Context, /, **which: Any) -> None:
    """End planned changes that are not wanted; they are not proposed again."""
    _steer(ctx, "refuse", **which)


def _steer(
    ctx: click.Context,
    what: str,
    change_ids: Sequence[int],
    job_id: int | None,
    since: datetime | None,
    everything: bool,
    dry_run: bool,
) -> None:
    filtered = job_id is not None or since is not None or everything
    if not change_ids and not filtered:
        raise click.UsageError(f"say which changes to {what}: IDs, --job ID, --since TIME or --all")
    if change_ids and filtered:
        raise click.UsageError("say either IDs or --job, --since and --all, not both")
    ids = with_agent(partial(_find, what=what, ids=change_ids, job_id=job_id, since=since))
    if not ids:
        click.echo(f"nothing to {what}", err=True)
        return
    if dry_run:
        _show_all(ids)
        return
    failed = 0
    for change_id, done in _each(ids, what):
        if isinstance(done, AgentdError):
            failed += 1
            why = printable(done.message).removeprefix(f"change {change_id} ")
            click.echo(f"change {change_id} not {_DONE[what]}: {why}", err=True)
            hint = f"agentd changes show {change_id}" if done.hint == ChangeError.default_hint else done.hint
            click.echo(f"next:  {printable(hint)}", err=True)
        else:
            click.echo(f"change {change_id} {_DONE[what]}: {printable(_line(done))}", err=True)
    if len(ids) > 1:
        click.echo(f"{len(ids) - failed:,} of {len(ids):,} changes {_DONE[what]}", err=True)
    if failed:
        ctx.exit(1)


async def _find(
    agent: Agent, *, what: str, ids: Sequence[int], job_id: int | None, since: datetime | None
) -> list[int]:
    """The changes that are meant, in the order in which they are to be done."""
    if ids:
        found = [await agent.store.read(store_changes.get, change_id) for change_id in dict.fromkeys(ids)]
    else:
        found = await agent.store.read(
            store_changes.find, states=[_MEANT[what]], job_id=job_id, since=since, limit=None
        )
    if what != "undo":
        return sorted(change.id for change in found)
    if not ids:
        found = _undoable(found)
    # What was done last stands on top.
    return [change.id for change in sorted(found, key=lambda change: (change.applied or "", change.id))[::-1]]


def _undoable(found: Sequence[Change]) -> list[Change]:
    """Those that can be taken back; the others are told."""
    told = Counter(change.kind for change in found if change.kind in store_changes.CALLING)
    if told:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in told.items())
        click.echo(f"cannot be taken back, and stay: {kinds}", err=True)
    return [change for change in found if change.kind not in store_changes.CALLING]


def _each(ids: Sequence[int], what: str) -> Iterator[tuple[int, ChangeShape | AgentdError]]:
    """Let the daemon do them one by one, or do them here where there is none."""
    client = DaemonClient(find_paths())
    for index, change_id in enumerate(ids):
        try:
            yield change_id, client.post(f"/v1/changes/{change_id}/{what}")
        except NotRunning:
            yield from with_agent(partial(_alone, ids=ids[index:], what=what))
            return
        except AgentdError as error:
            yield change_id, error


async def _alone(agent: Agent, ids: Sequence[int], what: str) -> list[tuple[int, ChangeShape | AgentdError]]:
    done: list[tuple[int, ChangeShape | AgentdError]] = []
    # No two may be at it: what one has begun, the other would take up as if that had died.
    with hold(agent.paths.lock):
        await agent.changes.effects.recover()
        for change_id in ids:
            try:
                done.append((change_id, await Requests(agent, {}).steer_change(change_id, what)))
            except AgentdError as error:
                done.append((change_id, error))
    return done


def _show_all(ids: Sequence[int]) -> None:
    async def load(agent: Agent) -> list[tuple[ChangeShape, list[str], str]]:
        found = [await agent.store.read(store_changes.get, change_id) for change_id in ids]
        return [(change_shape(change), *await _diff(agent, change)) for change in found]

    for change, diff, problem in with_agent(load):
        click.echo(f"change {change['id']}: {printable(_line(change))}")
        if problem:
            click.echo(f"change {change['id']} cannot be made: {printable(problem)}", err=True)
        _print_diff(diff)


async def _diff(agent: Agent, change: Change) -> tuple[list[str], str]:
    """The diff of a change, or why there is none."""
    try:
        return await agent.changes.diff(change), ""
    except ChangeError as error:
        return [], error.message


def _print_diff(diff: Sequence[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for line in diff:
        console.print(plain(line, _STYLES.get(line[:1], "")))


def _line(change: ChangeShape) -> str:
    return f"{change['kind']} {short_source(change['path'])} {_what(change)}".rstrip()


def _what(change: ChangeShape) -> str:
    """What a change does, in a few words."""
    details = change["details"]
    match change["kind"]:
        case "frontmatter":
            return "; ".join(f"{key}: {_value(value)}" for key, value in details["set"].items())
        case "notify":
            return str(details["title"])
        case "command":
            return str(details["run"])
    return f"→ {short_source(change['target'] or '')}"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
