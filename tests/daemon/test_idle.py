"""How long nobody touched the machine, from programs that say what a test tells them to say."""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agentd.daemon.idle import Session, idle_seconds, parse_ioreg, parse_sessions

NOW = 1_800_000_000.0
SESSIONS = """\
Class=user
Type=wayland
TTY=tty2
IdleHint=yes
IdleSinceHint=1799999400000000

Class=manager
Type=unspecified
TTY=
IdleHint=no
IdleSinceHint=0
"""

Programs = Callable[[str, str], None]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs in a folder that is the whole PATH, each a script; nobody sits at a terminal."""
    monkeypatch.setattr(psutil, "users", list)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


def logind(programs: Programs, shown: str, listed: str = "1 1000 anna seat0 -") -> None:
    programs(
        "loginctl",
        f"""case "$1" in
list-sessions) echo '{listed}' ;;
show-session) printf '%s' '{shown}' ;;
esac""",
    )


def desktop(hint: str, since: int) -> str:
    return f"Class=user\nType=wayland\nTTY=\nIdleHint={hint}\nIdleSinceHint={since * 1_000_000}\n"


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs of Linux")


def test_a_session_is_read_from_its_paragraph() -> None:
    assert parse_sessions(SESSIONS) == [
        Session("user", "wayland", "tty2", True, NOW - 600),
        Session("manager", "unspecified", "", False, 0.0),
    ]
    assert parse_sessions("") == []


def test_a_desktop_is_idle_since_it_said_so(programs: Programs) -> None:
    logind(programs, SESSIONS.replace("TTY=tty2", "TTY="))
    assert idle_seconds(NOW) == 600.0


@pytest.mark.parametrize(("since", "idle"), [(NOW - 5, 0.0), (0, None)])
def test_a_desktop_that_is_not_idle_is_used_unless_it_never_tells(
    programs: Programs, since: float, idle: float | None
) -> None:
    logind(programs, desktop("no", int(since)))
    assert idle_seconds(NOW) == idle


def test_a_desktop_that_knows_to_the_millisecond_is_asked_first(programs: Programs) -> None:
    logind(programs, desktop("no", int(NOW)))
    programs("busctl", "echo 't 90500'")
    assert idle_seconds(NOW) == 90.5
    programs("busctl", "exit 1")
    assert idle_seconds(NOW) == 0.0


def test_a_machine_where_nobody_is_logged_in_is_idle_for_ever(programs: Programs) -> None:
    logind(programs, "", listed="")
    assert idle_seconds(NOW) == math.inf
    logind(programs, "Class=manager\nType=unspecified\nIdleHint=no\nIdleSinceHint=0\n")
    assert idle_seconds(NOW) == math.inf, "a user manager that lingers is nobody"


@pytest.mark.parametrize("script", [None, "exit 1"])
def test_without_logind_nothing_is_known(programs: Programs, script: str | None) -> None:
    if script:
        programs("loginctl", script)
    assert idle_seconds(NOW) is None


@pytest.mark.parametrize("known", ["login", "utmp"])
def test_a_terminal_is_touched_by_what_is_typed(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    control, terminal = os.openpty()
    try:
        name = os.ttyname(terminal)
        os.utime(name, (NOW - 42, NOW))
        if known == "login":
            logind(
                programs, f"Class=user\nType=tty\nTTY={name.removeprefix('/dev/')}\nIdleHint=no\nIdleSinceHint=0\n"
            )
        else:
            user = SimpleNamespace(terminal=name.removeprefix("/dev/"))
            monkeypatch.setattr(psutil, "users", lambda: [user])
        assert idle_seconds(NOW) == pytest.approx(42.0, abs=1e-3)
    finally:
        os.close(control)
        os.close(terminal)


def test_macos_tells_in_nanoseconds() -> None:
    told = '    |   "HIDIdleTime" = 12500000000\n    |   "HIDParameters" = {}\n'
    assert parse_ioreg(told) == 12.5
    assert parse_ioreg("") is None
    assert parse_ioreg(None) is None
