"""`agentd notify`: try the places where people are told, and list what they were told. Needs no daemon."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click
from rich.text import Text

from agentd.actions.messages import Words
from agentd.actions.notice_policy import hold, quiet_until
from agentd.actions.notify import tell
from agentd.actions.notify_settings import DESKTOP, NotifySettings
from agentd.api.notice_shapes import NoticeShape, PlaceShape, notice_shape
from agentd.cli.main import ID, Group, refuse_group_options
from agentd.cli.opened import with_agent
from agentd.cli.render import plain, print_json, print_table
from agentd.cli.text import local_time, printable
from agentd.daemon.agent import Agent, now
from agentd.daemon.settings import Config, load_config
from agentd.errors import AgentdError, ChangeError, NotFound
from agentd.paths import find_paths
from agentd.records import timestamp
from agentd.store import notices as store_notices
from agentd.store.notices import Notice

_COLOURS = {"told": "green", "waits": "blue", "tried again": "yellow", "given up": "red"}


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def notify(ctx: click.Context, as_json: bool) -> None:
    """Try the places where people are told, and list what they were told.

    The config's `notify` says who is told of what; the daemon tells them.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_notices, as_json=as_json)
    else:
        refuse_group_options(ctx)


@notify.command("test")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def test(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Send a message to every place, or to the one that is named, now, and say what became of it."""
    config = load_config(find_paths().config)
    if name is not None and name not in config.notify.places:
        known = ", ".join(config.notify.places)
        raise NotFound(f"the config has no place `{name}`: there is {known}", hint="agentd config path")
    places = [name] if name is not None else _used(config.notify)
    tried = asyncio.run(_try_all(config, places))
    if as_json:
        print_json(tried)
    else:
        for one in tried:
            became = "delivered" if one["delivered"] else f"not delivered: {one['error']}"
            click.echo(f"{one['place']}: {printable(became)}")
            if one["hint"]:
                click.echo(f"next:  {printable(one['hint'])}", err=True)
    if not all(one["delivered"] for one in tried):
        ctx.exit(1)


@notify.command("list")
@click.option("--limit", default=20, show_default=True, type=ID, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_notices(limit: int = 20, as_json: bool = False) -> None:
    """List what people were told, and what is held back and why, newest first."""

    async def load(agent: Agent) -> list[NoticeShape]:
        found = await agent.store.read(store_notices.find, limit=limit)
        waits = {notice.place: await _why(agent, notice.place) for notice, message in found if message is None}
        return [notice_shape(notice, message, waits.get(notice.place, "")) for notice, message in found]

    found = with_agent(load)
    if as_json:
        print_json(found)
    elif not found:
        rules = load_config(find_paths().config).notify.rules
        click.echo(
            "nothing was told yet" if rules else "the config's `notify` has no rules: nobody is told", err=True
        )
    else:
        rows: list[Sequence[str | Text]] = [
            (
                local_time(one["created"]),
                one["place"],
                plain(one["state"], _COLOURS[one["state"]]),
                f"{one['title']}: {one['text'].partition(chr(10))[0]}",
                one["why"] or "",
            )
            for one in found
        ]
        print_table(["when", "place", "state", "what", "why"], rows)


def _used(settings: NotifySettings) -> list[str]:
    """Every place; the desktop only where a rule names it, or where there is no other."""
    named = {place for rule in settings.rules for place in rule.to}
    return [place for place in settings.places if place != DESKTOP or DESKTOP in named or not settings.to]


async def _try_all(config: Config, places: Sequence[str]) -> list[PlaceShape]:
    return list(await asyncio.gather(*(_try(config, place) for place in places)))


async def _try(config: Config, place: str) -> PlaceShape:
    stamp = timestamp()
    text = f"This is a test of the place {place}: what the config's rules ask for is told here."
    notice = Notice(f"test {stamp}", place, "test", None, "info", "agentd can reach you", text, stamp)
    words = Words(f"agentd-test-{time.time_ns()}", notice.title, text, notice.severity, stamp, (notice,))
    try:
        await tell(place, config.notify, config.actions, words, int(time.time()))
    except AgentdError as error:
        hint = "agentd config path" if error.hint == ChangeError.default_hint else error.hint
        return {"place": place, "delivered": False, "error": error.message, "hint": hint}
    return {"place": place, "delivered": True, "error": None, "hint": None}


async def _why(agent: Agent, place: str) -> str:
    """Why what a place is to be told is held back."""
    settings, moment = agent.config.notify, now()
    if message := await agent.store.read(store_notices.unsent, place):
        if settings.quiet_hours and (until := quiet_until(settings.quiet_hours, moment)):
            return f"quiet hours, until {_clock(until)}"
        return f"an earlier message is tried again, {_clock(datetime.fromisoformat(message.not_before))}"
    waiting = await agent.store.read(store_notices.pending, place)
    if not waiting:
        return ""
    since = moment - timedelta(seconds=settings.at_most.seconds)
    sent = await agent.store.read(store_notices.sent_since, place, since)
    held = hold(settings, datetime.fromisoformat(waiting[0].created), sent, moment)
    return f"{held.why}, until {_clock(held.until)}" if held else "for the daemon: agentd start --detach"


def _clock(moment: datetime) -> str:
    return local_time(moment.astimezone(UTC).isoformat())
