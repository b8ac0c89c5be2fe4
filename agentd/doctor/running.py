"""The daemon: whether it runs, answers, and is this version; its socket; and any other daemon of this user."""

import os
import shlex
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import psutil

import agentd
from agentd.doctor.diagnosis import Diagnosis, Level, error, ok, warning
from agentd.doctor.home import Home

_CONNECT_SECONDS = 5.0


def check_daemon(home: Home) -> Iterator[Diagnosis]:
    """Whether one runs here, and what it says of itself."""
    if home.status is None:
        if home.pid is None:
            yield warning("daemon", "is not running", "agentd start --detach")
        else:
            told = (
                f"runs (pid {home.pid}), but does not answer: {home.silent.message if home.silent else 'no word'}"
            )
            yield error("daemon", told, f"tail {shlex.quote(str(home.paths.log))}, then agentd restart")
        return
    version = home.status["version"]
    if version != agentd.__version__:
        told = f"runs version {version}, and {agentd.__version__} is installed"
        yield warning("daemon", told, "agentd restart")
    elif not home.status["ready"]:
        yield warning("daemon", f"runs (pid {home.status['pid']}), but is not ready yet", "agentd status")
    else:
        yield ok("daemon", f"runs (pid {home.status['pid']}) and answers")
    for problem in home.status.get("problems", []):
        # Folders, logs and disks have checks of their own; what the daemon met there comes on top.
        level = Level.WARNING if problem["key"].startswith(("watch ", "log ", "disk ")) else Level.ERROR
        hint = problem["hint"].replace("agentd doctor", f"tail {shlex.quote(str(home.paths.log))}")
        yield Diagnosis(level, problem["key"], problem["told"], hint)


def check_socket(home: Home) -> Iterator[Diagnosis]:
    """Whether what stands at the socket's place is one, for this user alone, with somebody behind it."""
    path = home.paths.socket
    quoted = shlex.quote(str(path))
    try:
        found = path.lstat()
    except FileNotFoundError:
        if home.pid is not None:
            told = f"{path} is gone, though the daemon runs: nothing can reach it"
            yield error("socket", told, "agentd restart")
        else:
            yield ok("socket", f"{path} is made when the daemon starts")
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield error("socket", f"{path} is no socket", f"ls -l {quoted}")
    elif found.st_uid != os.getuid():
        yield error("socket", f"{path} belongs to another user", f"ls -l {quoted}")
    elif found.st_mode & 0o177:
        told = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, not 0600"
        yield error("socket", told, f"chmod 600 {quoted}")
    elif not _listens(path):
        told = f"{path} was left behind by a daemon that died; the next start replaces it"
        yield warning("socket", told, "agentd start --detach")
    else:
        yield ok("socket", f"{path}, for you alone")


def check_homes(home: Home) -> Iterator[Diagnosis]:
    """Whether this user has another home, which may be the one that was meant."""
    here = os.environ.get("AGENTD_HOME")
    usual = Path(platformdirs.user_data_path("agentd"), "agentd.db")
    if here and usual.exists() and usual != home.paths.database:
        told = f"AGENTD_HOME is {here}, and there is another home with a database at {usual.parent}"
        yield warning("home", told, "unset AGENTD_HOME for that one")
    else:
        yield ok("home", f"{here} (AGENTD_HOME)" if here else f"{home.paths.database.parent}")
    for pid, other in _other_daemons(home.pid):
        told = f"another daemon of yours runs (pid {pid}), at home in {other or 'the usual place'}"
        reach = f"AGENTD_HOME={shlex.quote(other)}" if other else "env -u AGENTD_HOME"
        yield warning("home", told, f"{reach} agentd status")


def _other_daemons(besides: int | None) -> Iterator[tuple[int, str]]:
    for process in psutil.process_iter(["cmdline", "uids"]):
        words, uids = process.info["cmdline"] or [], process.info["uids"]
        if process.pid in (besides, os.getpid()) or not uids or uids.real != os.getuid():
            continue
        if not _is_daemon(words):
            continue
        try:
            yield process.pid, process.environ().get("AGENTD_HOME", "")
        except (psutil.Error, OSError):
            continue  # it has ended since


def _is_daemon(words: list[str]) -> bool:
    """Whether a command line is that of `agentd start`."""
    if "start" not in words[1:] or "--detach" in words:
        return False
    before = words[: words.index("start", 1)]
    return before[-2:] == ["-m", "agentd"] or Path(before[-1]).name == "agentd"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_CONNECT_SECONDS)
        try:
            sock.connect(os.fspath(path))
        except OSError:
            return False
    return True
