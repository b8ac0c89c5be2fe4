"""Speak to launchd through `launchctl`, about one user's agent.

It has the same methods as `manager.Systemd`, for whoever installs either. What the property list says is not
known here.
"""

import os
import re
from pathlib import Path

from agentd.service.calls import LONG_SECONDS, call, find_program, run
from agentd.service.launchd import LABEL
from agentd.service.manager import ServiceState

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
        """What a person types for `start`, `stop` or `restart`."""
        how = {"stop": f"kill TERM {self._domain}/{LABEL}"}
        return f"launchctl {how.get(verb, f'kickstart -k {self._domain}/{LABEL}')}"

    def state(self) -> ServiceState:
        """How the agent is."""
        done = call(["launchctl", "print", f"{self._domain}/{LABEL}"])
        pid, state, runs = (found.search(done.stdout) for found in (_PID, _STATE, _RUNS))
        loaded = done.returncode == 0
        return ServiceState(
            installed=self.file.exists(),
            enabled=loaded,
            active=bool(pid),
            state=state[1] if state else "not loaded",
            since="",
            pid=int(pid[1]) if pid else None,
            told="",
            restarts=max(0, int(runs[1]) - 1) if runs else 0,
        )

    def set_up(self) -> None:
        """Load the agent, now and at every log-in; what was loaded of an earlier one ends."""
        call(["launchctl", "bootout", f"{self._domain}/{LABEL}"], LONG_SECONDS)  # fails where none was
        run(["launchctl", "bootstrap", self._domain, str(self.file)], "plutil -lint " + repr(str(self.file)))

    def start(self) -> None:
        """Start the agent, or start it again."""
        run(["launchctl", "kickstart", "-k", f"{self._domain}/{LABEL}"], "agentd service logs", LONG_SECONDS)

    def take_down(self) -> None:
        """Stop the agent and unload it."""
        call(["launchctl", "bootout", f"{self._domain}/{LABEL}"], LONG_SECONDS)

    def forget(self) -> None:
        """Nothing is left to note: launchd reads the folder at the next log-in."""

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
