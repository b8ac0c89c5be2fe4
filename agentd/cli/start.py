"""`agentd start`, `stop` and `restart`: the life of the daemon."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Literal, get_args

import click

from agentd.errors import AgentdError, AlreadyRunning, DaemonFailed, NotRunning
from agentd.paths import Paths, find_paths

if TYPE_CHECKING:
    from agentd.service.installation import Service

LogFormat = Literal["auto", "text", "json"]

START_SECONDS = 30.0
STOP_SECONDS = 20.0  # ten for the job in hand, and room to close
RELOAD_SECONDS = 900.0  # the weights of another model may have to be read whole
POLL_SECONDS = 0.1


@click.command()
@click.option("--detach", is_flag=True, help="Run in the background and return once it answers.")
@click.option(
    "--log-format",
    type=click.Choice(get_args(LogFormat)),
    default="auto",
    show_default=True,
    help="auto is text, with priorities instead of times where the log goes to the systemd journal.",
)
def start(detach: bool, log_format: LogFormat) -> None:
    """Run the daemon in the foreground, with its log on standard error.

    This is what a service manager runs. For people there is --detach. A second daemon on the same home is
    refused.

    SIGTERM and Ctrl-C let the jobs in hand finish for ten seconds, a second one ends at once; SIGHUP reads the
    config again. It exits with 0 when it was told to stop, 1 when it could not go on or was ended at once, and 4
    when the config is broken.
    """
    paths = find_paths()
    if detach:
        start_detached(paths, log_format)
        return
    import asyncio

    from agentd.cli.log_format import set_up_log
    from agentd.daemon.supervisor import run_daemon

    set_up_log(log_format)
    asyncio.run(run_daemon(paths))


@click.command()
def stop() -> None:
    """Stop the daemon: the job in hand gets ten seconds, then it goes back to the queue."""
    paths = find_paths()
    pid = _pid(paths)
    if pid is None:
        raise NotRunning
    stop_daemon(paths, pid)
    click.echo(f"agentd has stopped (pid {pid})", err=True)


@click.command()
def restart() -> None:
    """Stop the daemon, if it runs, and start it in the background; a service through its manager."""
    from agentd.daemon.settings import load_config
    from agentd.service.running import restart_service

    paths = find_paths()
    load_config(paths.config)  # a daemon that runs is not ended for one that cannot start
    pid = _pid(paths)
    if service := restart_service(pid):
        click.echo(f"agentd is running again as a service (pid {_pid(paths)})", err=True)
        _tell_of_old_unit(service)
        return
    if pid is not None:
        stop_daemon(paths, pid)
    start_detached(paths)


@click.command()
def reload() -> None:
    """Let the daemon read its config again.

    Watches, logs, tasks and models are as the config says from then on; what has not changed goes on, and no job
    is lost. A broken config is named with its line, and the daemon keeps the one it has.
    """
    from agentd.cli.client import DaemonClient
    from agentd.service.running import service_of

    paths = find_paths()
    changed = DaemonClient(paths, seconds=RELOAD_SECONDS).post("/v1/reload")["changed"]
    told = f"{', '.join(changed)} changed" if changed else "nothing in it has changed"
    click.echo(f"agentd has read its config again: {told}", err=True)
    pid = _pid(paths)
    if pid is not None and (service := service_of(pid)):
        _tell_of_old_unit(service)


def _tell_of_old_unit(service: "Service") -> None:
    if not service.current():
        click.echo("its unit is for another config, and its rights with it: agentd service install", err=True)


def start_detached(paths: Paths, log_format: LogFormat = "auto") -> None:
    """Start a daemon of its own session and wait until it answers; raises `DaemonFailed` with its last words."""
    from agentd.daemon.settings import load_config

    pid = _pid(paths)
    if pid is not None:
        raise AlreadyRunning(f"agentd is already running here (pid {pid})", hint="agentd status")
    load_config(paths.config)  # a broken config is said here, not in a log
    paths.make_folders()
    begin = paths.log.stat().st_size if paths.log.exists() else 0
    with paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agentd", "start", "--log-format", log_format],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not (_pid(paths) == process.pid and _answers(paths)):
        if process.poll() is not None:
            said = paths.log.read_bytes()[begin:].decode("utf-8", "replace").strip()[-2000:]
            raise DaemonFailed(f"the daemon did not start:\n{said}", hint=f"less '{paths.log}'")
        if time.monotonic() > deadline:
            raise DaemonFailed(
                f"the daemon (pid {process.pid}) is still starting after {START_SECONDS:g} s; "
                "the first start with a large model reads it whole",
                hint=f"tail -f '{paths.log}'",
            )
        time.sleep(POLL_SECONDS)
    click.echo(f"agentd is running (pid {process.pid}), its log is {paths.log}", err=True)
    click.echo("The model may still be loading: agentd status", err=True)


def stop_daemon(paths: Paths, pid: int) -> None:
    """Send SIGTERM and wait for the end; raises `DaemonFailed` where it does not come."""
    with contextlib.suppress(ProcessLookupError):  # it ended since we looked
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _pid(paths) == pid:
        if time.monotonic() > deadline:
            raise DaemonFailed(f"the daemon (pid {pid}) did not stop in {STOP_SECONDS:g} s", hint=f"kill -9 {pid}")
        time.sleep(POLL_SECONDS)


def _answers(paths: Paths) -> bool:
    from agentd.cli.client import DaemonClient

    try:
        DaemonClient(paths).get("/v1/status")
    except AgentdError:
        return False
    return True


def _pid(paths: Paths) -> int | None:
    from agentd.daemon.lock import running_pid

    return running_pid(paths.lock)
