"""`agentd service install` and `uninstall`: show what is written, ask, write it, tell what follows from it."""

import getpass
import os
import shlex
import sys

import click

from agentd.cli.text import printable
from agentd.daemon.lock import running_pid
from agentd.errors import ServiceError
from agentd.service import machine, systemd
from agentd.service.installation import SYSUSERS_FILE, Service, Written
from agentd.service.manager import ServiceState, Systemd

SYSTEM = click.option("--system", is_flag=True, help="The machine's service, with a user of its own.")


@click.command()
@SYSTEM
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-start", is_flag=True, help="Leave starting it to the next boot, or to you.")
def install(system: bool, yes: bool, no_start: bool) -> None:
    """Show the unit that the config asks for, write it, and start it now and at every boot.

    Its rights are computed from the config: only folders that a task may change are writable, and only a config
    that speaks to other machines has a network. Run it again when the config has changed; what is right already
    is left alone.
    """
    one = Service(system=system)
    _refuse_what_would_fail(one)
    before = one.manager.state()
    _refuse_a_loose_daemon(one, before)
    changed = [file for file in one.files() if file.difference()]
    starts = not no_start and (bool(changed) or not before.active)
    if not changed and before.enabled and not starts:
        click.echo(f"nothing to change: {printable(str(one.manager.file))}", err=True)
        return
    for file in changed:
        _show(file)
    if changed and not yes:
        _ask(before, starts=starts)
    _put(one, changed)
    one.manager.set_up()
    if starts:
        click.echo("starting, and waiting until the model is loaded …", err=True)
        one.manager.start()
    _tell(one, starts=starts)


@click.command()
@SYSTEM
def uninstall(system: bool) -> None:
    """Stop the service and remove its unit. What agentd knows stays."""
    one = Service(system=system)
    if not one.manager.file.exists():
        click.echo(f"there is no service: {printable(str(one.manager.file))} does not exist", err=True)
        return
    one.manager.take_down()
    one.manager.file.unlink()
    one.manager.forget()
    click.echo(f"removed  {printable(str(one.manager.file))}", err=True)
    if system:
        click.echo(f"kept     the user {systemd.SYSTEM_USER}, and {SYSUSERS_FILE}", err=True)
    for what, kept in (("config", one.paths.config), ("results", one.paths.database)):
        if kept.exists():
            click.echo(f"kept     {printable(str(kept))} ({what})", err=True)


def linger_text(lingers: bool) -> str:
    """What lingering is for, and whether it is on."""
    if lingers:
        return "on: the service runs from boot on, whether you are logged in or not"
    command = f"sudo loginctl enable-linger {shlex.quote(getpass.getuser())}"
    return f"off: the service runs while you are logged in; from boot on with: {command}"


def _refuse_what_would_fail(one: Service) -> None:
    """Say now what would else be found in a log later."""
    _ = one.config  # a broken one is told with its line
    if one.system and os.geteuid() != 0:
        agentd = shlex.quote(os.path.abspath(sys.argv[0]))  # noqa: PTH100 - sudo has another PATH; links stay
        raise ServiceError(
            "only root can install a service of the machine", hint=f"sudo {agentd} service install --system"
        )
    if one.system:
        machine.check_reachable(sys.executable)


def _refuse_a_loose_daemon(one: Service, before: ServiceState) -> None:
    pid = running_pid(one.paths.lock)
    if pid is not None and pid != before.pid:
        # The service would find the home taken, and be started again and again.
        raise ServiceError(
            f"agentd is running here already, and not as a service (pid {pid})",
            hint="agentd stop && agentd service install",
        )


def _show(file: Written) -> None:
    new = file.there() is None
    click.secho(f"{'would write' if new else 'would change'} {printable(str(file.path))}", bold=True, err=True)
    for line in file.difference().splitlines():
        colour = {"+": "green", "-": "red"}.get(line[:1]) if not new else None
        click.secho(f"  {printable(line)}", fg=colour, err=True)


def _ask(before: ServiceState, *, starts: bool) -> None:
    if not sys.stdin.isatty():
        raise ServiceError(
            "nothing was written: there is no terminal on which to ask", hint="agentd service install --yes"
        )
    then = ("and start it again" if before.active else "and start it") if starts else "without starting it"
    click.confirm(f"Write this, {then}?", abort=True, err=True)


def _put(one: Service, changed: list[Written]) -> None:
    if not one.system:
        one.paths.make_folders()  # the service itself may not make those that it only reads
    for file in changed:
        file.write()
        if file.path == SYSUSERS_FILE and isinstance(one.manager, Systemd):
            one.manager.make_user(file.path)


def _tell(one: Service, *, starts: bool) -> None:
    how = "is running, and starts" if starts else "starts"
    when = "at every boot" if one.system else "whenever you log in"
    click.echo(f"agentd {how} {when}: {printable(str(one.manager.file))}", err=True)
    lingers = one.manager.lingers()
    if lingers is not None:
        click.echo(f"lingering is {linger_text(lingers)}", err=True)
    for place in one.needed.writable:
        if not place.exists() and not place.is_relative_to(one.paths.database.parent):
            click.echo(
                f"{printable(str(place))} is not there yet: it is writable to the service from the first "
                "`agentd restart` after it was made",
                err=True,
            )
    click.echo("\nNext:", err=True)
    if one.system:
        user, home = systemd.SYSTEM_USER, systemd.SYSTEM_HOME
        click.echo(f"  sudoedit {one.paths.config}    its config, then install again", err=True)
        click.echo(f"  sudo setfacl -R -m u:{user}:rwX,d:u:{user}:rwX FOLDER    let it at a folder", err=True)
        # The socket takes its own user alone.
        click.echo(f"  sudo -u {user} AGENTD_HOME={home} {shlex.quote(sys.executable)} -m agentd ask …", err=True)
        click.echo("  agentd service status --system", err=True)
        return
    click.echo("  agentd service status    see how it is", err=True)
    click.echo("  agentd service logs -f   see what it does", err=True)
    click.echo("  agentd service install   again, when the config has changed", err=True)
