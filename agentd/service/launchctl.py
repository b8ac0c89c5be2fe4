"""Speak to launchd through `launchctl`, about one user's agent.

It has the same methods as `manager.Systemd`, for whoever installs either. What the property list says is not
known here.
"""

import os
import re
import shlex
import time
from pathlib import Path

from agentd.errors import ServiceError
from agentd.service.calls import LONG_SECONDS, SECONDS, call, find_program, run
from agentd.service.launchd import LABEL
from agentd.service.manager import ServiceState

POLL_SECONDS = 0.2

_PID = re.compile(r"^\s*pid = (\d+)$", re.MULTILINE)
_STATE = re.compile(r"^\s*state = (.+)$", re.MULTILINE)
_RUNS = re.compile(r"^\s*runs = (\d+)$", re.MULTILINE)


class Launchd:
    """The user's launchd, and the agent in it."""

    system = False

    def __init__(self, log: Path) -> None:
        self._log = log
        self._domain = f"gui/{os.getuid()}"

    @property
    def file(self) -> Path:
        """The property list."""
        return Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    def typed(self, verb: str) -> str:
        """What a person types to stop the agent, or to start it."""
        if verb == "stop":
            return f"launchctl bootout {self._domain}/{LABEL}"
        return f"launchctl bootstrap {self._domain} {shlex.quote(str(self.file))}"

    def state(self) -> ServiceState:
        """How the agent is."""
        done = call(["launchctl", "print", f"{self._domain}/{LABEL}"])
        pid, state, runs = (found.search(done.stdout) for found in (_PID, _STATE, _RUNS))
        return ServiceState(
            installed=self.file.exists(),
            enabled=self.file.exists(),
            active=bool(pid),
            state=state[1] if state else "not loaded",
            since="",
            pid=int(pid[1]) if pid else None,
            told="",
            restarts=max(0, int(runs[1]) - 1) if runs else 0,
        )

    def set_up(self) -> None:
        """Nothing is to be noted: at every log-in launchd reads the folder in which the property list lies."""

    def start(self) -> None:
        """Load what the property list says now, which starts it; an agent that was loaded before ends first."""
        self.take_down()
        run(
            ["launchctl", "bootstrap", self._domain, str(self.file)], f"plutil -lint {shlex.quote(str(self.file))}"
        )

    def take_down(self) -> None:
        """Stop the agent and unload it; returns once it has ended."""
        call(["launchctl", "bootout", f"{self._domain}/{LABEL}"], LONG_SECONDS)  # fails where none was loaded
        deadline = time.monotonic() + SECONDS
        while call(["launchctl", "print", f"{self._domain}/{LABEL}"]).returncode == 0:
            if time.monotonic() > deadline:
                raise ServiceError(f"launchd did not end {LABEL} in {SECONDS:g} s", hint=self.typed("stop"))
            time.sleep(POLL_SECONDS)

    def forget(self) -> None:
        """Nothing is left to note."""

    def lingers(self) -> bool | None:
        """An agent runs while its user is logged in: there is nothing to tell."""
        return None

    def log_command(self, *, lines: int, follow: bool, as_json: bool) -> list[str]:
        """The program that prints the log; it is text, whatever is asked for."""
        return [
            find_program("tail", f"less {self._log}"),
            f"-n{lines}",
            *(["-F"] if follow else []),
            str(self._log),
        ]
