"""The service: whether the user's service manager knows agentd, runs it, and keeps it after a log-out."""

import getpass
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home

UNIT = "agentd.service"
LINGER = Path("/var/lib/systemd/linger")
_SECONDS = 10.0
_ASKED = (
    "LoadState",
    "LoadError",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "NeedDaemonReload",
    "MainPID",
)


def check_unit(home: Home) -> Iterator[Diagnosis]:
    """What `systemctl --user` says of it."""
    if sys.platform != "linux" or shutil.which("systemctl") is None:
        yield ok("service", "there is no systemd here")
        return
    done = subprocess.run(
        ["systemctl", "--user", "show", UNIT, f"--property={','.join(_ASKED)}"],  # noqa: S607 - the user's own
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        yield ok("service", "no user's service manager can be reached from here")
        return
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    yield from judge(told, lingers=(LINGER / getpass.getuser()).exists(), pid=home.pid)


def judge(unit: Mapping[str, str], *, lingers: bool, pid: int | None) -> Iterator[Diagnosis]:
    """What the properties of the unit mean; pure. `pid` is that of the daemon which runs in this home."""
    load, active = unit.get("LoadState", ""), unit.get("ActiveState", "")
    if load == "not-found":
        told = "not installed: agentd runs only when you start it, and ends with your session"
        yield warning("service", told, "agentd service install")
        return
    if load != "loaded":
        yield error("service", f"its unit is {load}: {unit.get('LoadError', '')}", f"systemctl --user cat {UNIT}")
        return
    if unit.get("NeedDaemonReload") == "yes":
        told = "its unit file was changed since systemd read it"
        yield warning("service", told, "systemctl --user daemon-reload && systemctl --user restart agentd")
    if active == "failed":
        told = f"has failed ({unit.get('Result', 'no reason given')})"
        yield error("service", told, "journalctl --user -u agentd -e, then systemctl --user restart agentd")
    elif active not in ("active", "activating", "reloading"):
        yield warning("service", f"is installed, but {active}", "systemctl --user start agentd")
    elif pid is not None and unit.get("MainPID") not in (str(pid), "0"):
        told = f"runs as pid {unit.get('MainPID')}, but the daemon of this home is pid {pid}: not by the service"
        yield warning("service", told, "agentd stop && systemctl --user restart agentd")
    else:
        yield ok("service", f"{active} ({unit.get('SubState', '')}), pid {unit.get('MainPID')}")
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        told = "is not started when you log in"
        yield warning("service", told, "systemctl --user enable agentd")
    elif not lingers:
        told = "ends when you log out, and starts when you log in"
        yield warning("linger", told, f"loginctl enable-linger {getpass.getuser()}")
    else:
        yield ok("linger", "runs while nobody is logged in")
