"""`agentd service`: the daemon as a service of the machine. How it is, its log, its unit."""

import shlex
import subprocess
from dataclasses import asdict

import click

from agentd.cli.main import Group, refuse_group_options
from agentd.cli.render import print_json
from agentd.cli.service_install import SYSTEM, install, linger_text, uninstall
from agentd.cli.text import printable
from agentd.errors import AgentdError
from agentd.service import launchd, machine
from agentd.service.installation import Service
from agentd.service.manager import ServiceState


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def service(ctx: click.Context, as_json: bool) -> None:
    """Let the machine run the daemon: systemd, or launchd on macOS."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show_status, as_json=as_json)
    else:
        refuse_group_options(ctx)


service.add_command(install)
service.add_command(uninstall)


@service.command("status")
@SYSTEM
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show_status(ctx: click.Context, system: bool = False, as_json: bool = False) -> None:
    """Show how the service is, and whether its unit is what the config asks for now."""
    one = Service(system=system)
    state = one.manager.state()
    current, problem = _compare(one, state)
    lingers = one.manager.lingers()
    if as_json:
        known = {"file": str(one.manager.file), "system": system, "current": current, "lingers": lingers}
        print_json(known | asdict(state))
    else:
        _print(one, state, current, problem)
        if lingers is not None:
            click.echo(f"  linger   {linger_text(lingers)}")
    if not state.active:
        hint = one.manager.typed("start agentd") if state.installed else _again(one)
        click.echo(f"error: the service is not running\nnext:  {hint}", err=True)
        ctx.exit(3)


@service.command("logs")
@SYSTEM
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(1), help="So many lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on as new ones come.")
@click.option("--json", "as_json", is_flag=True, help="Print the journal's JSON.")
@click.pass_context
def show_logs(ctx: click.Context, system: bool, lines: int, follow: bool, as_json: bool) -> None:
    """Show what the service has logged."""
    command = Service(system=system).manager.log_command(lines=lines, follow=follow, as_json=as_json)
    ctx.exit(subprocess.run(command, check=False).returncode)


@service.command("print")
@SYSTEM
@click.option("--launchd", "for_launchd", is_flag=True, help="The property list for macOS.")
@click.option(
    "--systemd-version", "version", type=click.IntRange(240, 999), help="For this systemd, not the one here."
)
def print_unit(system: bool, for_launchd: bool, version: int | None) -> None:
    """Print the unit that `install` would write."""
    one = Service(system=system)
    if for_launchd:
        here = machine.look(one.needed, version=0, namespaces=False, system=False)
        click.echo(launchd.agent(here, one.paths.log).decode(), nl=False)
    else:
        click.echo(one.files(version=version)[-1].text, nl=False)


def _compare(one: Service, state: ServiceState) -> tuple[bool | None, str]:
    """Whether the unit is what the config would give now; None, and why, where nobody can say."""
    if not state.installed:
        return None, ""
    try:
        return one.current(), ""
    except AgentdError as broken:
        return None, broken.message


def _print(one: Service, state: ServiceState, current: bool | None, problem: str) -> None:
    running = click.style(state.state, fg="green" if state.active else "red")
    pid = f", pid {state.pid}" if state.pid else ""
    click.echo(f"{click.style('agentd.service', bold=True)} is {running}{pid}")
    if state.since:
        click.echo(f"  since    {printable(state.since)}")
    if state.told:
        click.echo(f"  says     {printable(state.told)}")
    if state.restarts:
        click.secho(f"  faults   started again {state.restarts:,} times: agentd service logs", fg="yellow")
    if not state.installed:
        return
    click.echo(f"  unit     {printable(str(one.manager.file))}")
    click.echo(
        f"  at boot  {'started' if state.enabled else 'not started: ' + one.manager.typed('enable agentd')}"
    )
    if problem:
        click.secho(f"  config   cannot be compared: {printable(problem)}", fg="yellow")
    elif not current:
        click.secho(f"  config   asks for another unit now: {_again(one)}", fg="yellow")


def _again(one: Service) -> str:
    return shlex.join(["agentd", "service", "install", *(["--system"] if one.system else [])])
