"""How long ago somebody touched this machine: a desktop tells, or the terminals do, as `w` reads them.

A desktop that tells nothing is not known; one under KDE or sway tells only where it sets the idle hint of logind.
"""

import contextlib
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAM_SECONDS = 5.0  # that a program may take to tell

_MUTTER = "org.gnome.Mutter.IdleMonitor"
_MUTTER_IDLE = ("busctl", "--user", "call", _MUTTER, "/org/gnome/Mutter/IdleMonitor/Core", _MUTTER, "GetIdletime")
_SESSION_KEYS = ("Class", "Type", "TTY", "IdleHint", "IdleSinceHint")
_GRAPHICAL = ("x11", "wayland", "mir")


@dataclass(frozen=True, slots=True)
class Session:
    """One login, as logind tells of it."""

    kind: str  # its class: user, greeter, manager …
    type: str  # x11, wayland, tty …
    terminal: str  # such as pts/0, or empty
    idle: bool
    since: float  # when that was last said; 0 for never

    @property
    def graphical(self) -> bool:
        """Whether it is a desktop."""
        return self.type in _GRAPHICAL


def idle_seconds(now: float) -> float | None:
    """Seconds since somebody last touched the machine; infinite where nobody is logged in, None if not known."""
    if sys.platform == "darwin":
        return parse_ioreg(_output("ioreg", "-c", "IOHIDSystem", "-d", "4"))
    sessions = _sessions()
    people = [one for one in sessions or [] if one.kind.startswith("user")]
    terminals = {one.terminal for one in people if one.terminal and not one.graphical}
    terminals |= {one.terminal for one in psutil.users() if one.terminal}
    desktops = [one for one in people if one.graphical]
    touched = [*_seconds_of_terminals(terminals, now), *_seconds_of_desktops(desktops, now)]
    if touched:
        return max(min(touched), 0.0)
    return math.inf if sessions is not None and not desktops else None


def parse_sessions(text: str) -> list[Session]:
    """The sessions in what `loginctl show-session` prints, a paragraph each."""
    found = []
    for block in text.split("\n\n"):
        keys = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Class" in keys:
            told = keys.get("IdleSinceHint", "")
            since = int(told) / 1e6 if told.isdigit() else 0.0
            idle = keys.get("IdleHint") == "yes"
            found.append(Session(keys["Class"], keys.get("Type", ""), keys.get("TTY", ""), idle, since))
    return found


def parse_ioreg(text: str | None) -> float | None:
    """The idle time of macOS in seconds, from what `ioreg` prints in nanoseconds."""
    match = re.search(r'"HIDIdleTime"\s*=\s*(\d+)', text or "")
    return int(match[1]) / 1e9 if match else None


def _sessions() -> list[Session] | None:
    """The logins of this machine; None where there is no logind."""
    listed = _output("loginctl", "list-sessions", "--no-legend")
    if listed is None:
        return None
    ids = [line.split()[0] for line in listed.splitlines() if line.strip()]
    if not ids:
        return []
    keys = [word for key in _SESSION_KEYS for word in ("-p", key)]
    told = _output("loginctl", "show-session", *ids, *keys)
    return None if told is None else parse_sessions(told)


def _seconds_of_terminals(names: set[str], now: float) -> Iterator[float]:
    for name in names:
        with contextlib.suppress(OSError):  # ":0" is no terminal, and one may have gone
            # What is typed moves the time of access, what is printed does not.
            yield now - (Path("/dev") / name).stat().st_atime


def _seconds_of_desktops(desktops: Sequence[Session], now: float) -> Iterator[float]:
    if not desktops:
        return
    # GNOME knows to the millisecond; its hint to logind comes minutes late, or never where the screen stays on.
    exact = re.fullmatch(r"t (\d+)", (_output(*_MUTTER_IDLE) or "").strip())
    if exact:
        yield int(exact[1]) / 1000
        return
    for one in desktops:
        if one.idle:
            yield now - one.since
        elif one.since:
            yield 0.0


def _output(*words: str) -> str | None:
    """What a program prints; None where there is no such program, or it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
