"""Speak to systemd through its own programs: argument lists, time-outs, and an error that says what to type.

The user's manager or the system's, by `system`. What a unit says is not known here.
"""

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import ServiceError
from agentd.service.calls import LONG_SECONDS, SECONDS, call, find_program, run
from agentd.service.systemd import UNIT

# What is asked of a unit. `ActiveEnterTimestamp` is empty for one that never ran.
_ASKED = (
    *("LoadState", "ActiveState", "SubState", "ActiveEnterTimestamp", "MainPID", "UnitFileState", "StatusText"),
    *("NRestarts", "Result", "NeedDaemonReload"),
)
_VERSION = re.compile(r"systemd (\d+)")


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How the service is, as its manager tells."""

    installed: bool
    enabled: bool
    active: bool  # running, or on the way there
    state: str  # in the manager's words: `active (running)`
    since: str  # when it entered this state; empty where it never ran
    pid: int | None
    told: str  # what the daemon says of itself
    restarts: int


class Systemd:
    """One manager, and the unit of agentd in it."""

    def __init__(self, *, system: bool = False) -> None:
        self.system = system
        self._scope = "--system" if system else "--user"

    @property
    def folder(self) -> Path:
        """Where the unit lies."""
        if self.system:
            return Path("/etc/systemd/system")
        config = os.environ.get("XDG_CONFIG_HOME")
        return (Path(config) if config else Path.home() / ".config") / "systemd" / "user"

    @property
    def file(self) -> Path:
        """The unit."""
        return self.folder / UNIT

    def typed(self, verb: str) -> str:
        """What a person types for a verb of systemctl."""
        return f"sudo systemctl {verb}" if self.system else f"systemctl --user {verb}"

    def systemctl(self, *words: str, seconds: float = SECONDS) -> str:
        """Run systemctl; what it prints. Raises `ServiceError`."""
        return run(["systemctl", self._scope, "--no-pager", *words], self._typed_next(words), seconds).stdout

    def version(self) -> int:
        """The version of systemd here."""
        said = run(["systemctl", "--version"], "agentd start --detach").stdout
        found = _VERSION.match(said)
        if not found:
            raise ServiceError(f"systemctl --version says {said.splitlines()[:1]}", hint="agentd start --detach")
        return int(found[1])

    def answers(self) -> bool:
        """Whether the manager can be reached."""
        try:
            self.systemctl("show", "--property=Version")
        except ServiceError:
            return False
        return True

    def gives_namespaces(self) -> bool:
        """Whether a service may have namespaces of its own, tried with one that does nothing."""
        tried = call(
            [
                *("systemd-run", self._scope, "--quiet", "--wait", "--collect"),
                *("--property=PrivateUsers=yes", "--property=ProtectSystem=strict"),
                *("--property=PrivateDevices=yes", "true"),
            ],
            SECONDS,
        )
        return tried.returncode == 0

    def state(self) -> ServiceState:
        """How the unit is."""
        said = self.systemctl("show", UNIT, f"--property={','.join(_ASKED)}")
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        active = found.get("ActiveState", "unknown")
        return ServiceState(
            installed=self.file.exists(),
            enabled=found.get("UnitFileState", "").startswith("enabled"),
            active=active in ("active", "activating", "reloading"),
            state=f"{active} ({found.get('SubState', 'unknown')})",
            since=found.get("ActiveEnterTimestamp", ""),
            pid=int(found.get("MainPID") or 0) or None,
            told=found.get("StatusText", ""),
            restarts=int(found.get("NRestarts") or 0),
        )

    def set_up(self) -> None:
        """Take note of the unit, and start it at every boot or log-in from now on."""
        self.systemctl("daemon-reload")
        self.systemctl("enable", "--quiet", UNIT)

    def start(self) -> None:
        """Start the service, or start it again with what its unit says now; returns once it is ready."""
        self.systemctl("restart", UNIT, seconds=LONG_SECONDS)

    def take_down(self) -> None:
        """Stop the service and let it not be started again."""
        self.systemctl("disable", "--quiet", "--now", UNIT, seconds=LONG_SECONDS)

    def forget(self) -> None:
        """Take note that the unit is gone."""
        self.systemctl("daemon-reload")
        call(["systemctl", self._scope, "reset-failed", UNIT])  # fails where nothing has failed

    def make_user(self, file: Path) -> None:
        """Make the account that a sysusers file describes."""
        run(["systemd-sysusers", str(file)], f"sudo systemd-sysusers {file}")

    def lingers(self) -> bool | None:
        """Whether the user's services run without the user; None where nobody can tell."""
        if self.system:
            return None
        asked = ["loginctl", "show-user", getpass.getuser(), "--property=Linger", "--value"]
        done = call(asked)
        if done.returncode == 0:
            return done.stdout.strip() == "yes"
        # Without a session logind knows no such user; what was asked of it stands in a file.
        folder = Path("/var/lib/systemd/linger")
        return (folder / getpass.getuser()).exists() if folder.is_dir() else None

    def log_command(self, *, lines: int, follow: bool, as_json: bool) -> list[str]:
        """The program that prints the log."""
        program = find_program("journalctl", self._typed_next(("status",)))
        scope = [] if self.system else ["--user"]
        more = [*(["--follow"] if follow else []), *(["--output=json"] if as_json else [])]
        return [program, *scope, f"--unit={UNIT}", f"--lines={lines}", "--no-pager", *more]

    def _typed_next(self, words: Sequence[str]) -> str:
        if words and words[0] in ("restart", "start"):
            return "agentd service logs"
        return self.typed(f"status {UNIT}")
