"""`agentd schedule`: which tasks run by the clock, when they come next, and one of them now."""

from datetime import datetime
from functools import partial
from urllib.parse import quote

import click
from rich.text import Text

from agentd.api.schedule_shapes import FiringShape, ScheduleShape
from agentd.cli.main import Group, refuse_group_options
from agentd.cli.opened import steer, with_agent
from agentd.cli.render import plain, print_json, print_table
from agentd.cli.text import STYLES, printable
from agentd.daemon.requests import Requests
from agentd.daemon.schedules import Schedules


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def schedule(ctx: click.Context, as_json: bool) -> None:
    """List schedules, see when they come, run one now."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_schedules, as_json=as_json)
    else:
        refuse_group_options(ctx)


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_schedules(as_json: bool = False) -> None:
    """List schedules: when each ran last, when it comes next, and how its last job is."""
    found = with_agent(lambda agent: Schedules(agent).shapes())
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no schedules: `schedule:` in the config has them (agentd config path)", err=True)
    else:
        rows = [
            (one["name"], one["task"], one["when"], _time(one["fired"], "never"), _next(one), _state(one))
            for one in found
        ]
        print_table(["name", "task", "when", "last", "next", "state"], rows)
        for one in found:
            if one["problem"]:
                click.echo(f"note:  {one['name']} waits: {printable(one['problem'])}", err=True)


@schedule.command("next")
@click.argument("name", required=False)
@click.option("-n", "count", default=5, show_default=True, type=click.IntRange(1, 1000), help="So many of each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_next(name: str | None, count: int, as_json: bool) -> None:
    """Show the next times of schedule NAME, or of each, on this machine's clock."""
    found = with_agent(lambda agent: Schedules(agent).coming(name, count))
    if as_json:
        print_json(found)
    elif not found:
        click.echo("no time comes any more" if name else "no schedules: agentd config path", err=True)
    else:
        print_table(["name", "time", "note"], [(one["name"], _weekday(one), _note(one)) for one in found])


@schedule.command("run")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(name: str, as_json: bool) -> None:
    """Run schedule NAME now, beside its own times; without a daemon its job waits for one."""
    job = steer(f"/v1/schedules/{quote(name, safe='')}/run", partial(Requests.fire_schedule, name=name))
    if as_json:
        print_json(job)
    else:
        click.echo(f"job {job['id']} of {name} is {job['state']}: agentd jobs show {job['id']}", err=True)


def _time(stamp: str | None, none: str) -> str:
    return none if stamp is None else f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M}"


def _next(one: ScheduleShape) -> str:
    if one["overdue"]:
        return "when the daemon runs"
    return _time(one["next"], "never again")


def _state(one: ScheduleShape) -> Text:
    if one["state"] in STYLES:
        return Text(f"job {one['job']} {one['state']}", style=str(STYLES[one["state"]]["fg"]))
    note = f", last time: {one['note']}" if one["note"] else ""
    return plain(f"{one['state']}{note}", "red" if one["problem"] else "")


def _weekday(one: FiringShape) -> str:
    local = datetime.fromisoformat(one["time"]).astimezone()
    return f"{local:%a %Y-%m-%d %H:%M} {local:%Z}"


def _note(one: FiringShape) -> str:
    """What the clock of the schedule's own zone says, where that is another, and what it does that day."""
    shown, local = datetime.fromisoformat(one["shown"]), datetime.fromisoformat(one["time"]).astimezone()
    there = f"{shown:%a %H:%M} there" if shown.utcoffset() != local.utcoffset() else ""
    hours = one["clock_change"]
    way = "forward" if hours > 0 else "back"
    change = f"the clock goes {way} by {_hours(abs(hours))} that day" if hours else ""
    return "; ".join(part for part in (there, change) if part)


def _hours(hours: float) -> str:
    return f"{hours:g} h" if hours >= 1 else f"{hours * 60:.0f} min"
