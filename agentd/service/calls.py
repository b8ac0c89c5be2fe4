"""Run the programs of a service manager: argument lists, time-outs, and an error that says what to type."""

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agentd.errors import ServiceError

SECONDS = 30.0  # for what only asks or notes something
LONG_SECONDS = 600.0  # for a start that waits for a large model

_UNREACHABLE = ("Failed to connect to", "System has not been booted with systemd", "Host is down")


def find_program(program: str, hint: str) -> str:
    """Where a program is; raises `ServiceError` with the hint where it is not."""
    path = shutil.which(program)
    if path is None:
        raise ServiceError(f"{program} is not installed", hint=hint)
    return path


def run(command: Sequence[str], hint: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; raises `ServiceError` where it fails, with the hint."""
    done = call(command, seconds)
    if done.returncode == 0:
        return done
    said = done.stderr.strip() or f"it ended with {done.returncode}"
    if any(word in said for word in _UNREACHABLE):
        raise ServiceError(
            f"systemd cannot be reached: {said.splitlines()[0]}. A user's own manager runs while the user is "
            "logged in, or always where it lingers",
            hint=f"sudo loginctl enable-linger {getpass.getuser()}; without systemd: agentd start --detach",
        )
    raise ServiceError(f"`{' '.join(command)}` failed: {said[:2000]}", hint=hint)


def call(command: Sequence[str], seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program, whatever comes of it; raises `ServiceError` where it is not there or takes too long."""
    program = find_program(command[0], "agentd start --detach")
    try:
        return subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as late:
        raise ServiceError(f"`{' '.join(command)}` took more than {seconds:g} s") from late


def _environment() -> dict[str, str]:
    """With the way to the user's manager, which `su` and cron leave out; its words in English."""
    environment = dict(os.environ) | {"LC_ALL": "C.UTF-8"}
    folder = Path(f"/run/user/{os.getuid()}")
    if sys.platform == "linux" and "XDG_RUNTIME_DIR" not in environment and folder.is_dir():
        environment["XDG_RUNTIME_DIR"] = str(folder)
    return environment
