"""Where agentd keeps things: config, tasks, database, log, lock and socket.

`AGENTD_HOME` puts all of it under one folder; without it, the platform's own folders are used. Nothing is
created here but by `make_folders`.
"""

import hashlib
import os
import stat
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from agentd.errors import AgentdError

# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one home."""

    config: Path  # config.yaml
    tasks: Path  # the user's own task files
    database: Path
    models: Path  # what engines keep: saved prefixes, converted weights
    log: Path  # of a detached daemon
    lock: Path  # held by the running daemon, with its pid
    socket: Path

    def make_folders(self) -> None:
        """Create the folders, the socket's one for this user alone; raises `AgentdError` if it is another's."""
        for folder in (self.config.parent, self.tasks, self.database.parent, self.models, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        folder = self.socket.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            # In /tmp, anybody could have made it first, and would then hear what is asked.
            raise AgentdError(f"the socket's folder {folder} is not yours", hint=f"ls -ld '{folder}'")
        folder.chmod(0o700)


def find_paths() -> Paths:
    """The paths of `AGENTD_HOME`, or else the platform's."""
    home = os.environ.get("AGENTD_HOME")
    if home:
        return paths_below(_home(home))
    return _paths(
        config=Path(platformdirs.user_config_path("agentd")),
        data=Path(platformdirs.user_data_path("agentd")),
        state=Path(platformdirs.user_state_path("agentd")),
        runtime=_runtime_folder(),
    )


def paths_below(root: Path) -> Paths:
    """The paths with everything under one folder."""
    return _paths(config=root, data=root, state=root, runtime=root / "run")


def _paths(*, config: Path, data: Path, state: Path, runtime: Path) -> Paths:
    return Paths(
        config=config / "config.yaml",
        tasks=config / "tasks",
        database=data / "agentd.db",
        models=data / "models",
        log=state / "agentd.log",
        lock=state / "agentd.lock",
        socket=_socket_path(runtime / "agentd.sock"),
    )


def _home(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise AgentdError(
            f"AGENTD_HOME is {text!r}, and there is no such user", hint="unset AGENTD_HOME"
        ) from None


def _runtime_folder() -> Path:
    made = Path(os.environ.get("RUNTIME_DIRECTORY", ""))
    if made.name == "agentd" and made.is_absolute():
        # What systemd made for this service. The folder around it is not writable in there, for which platformdirs
        # would take another one.
        return made
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (in a cron job, say) platformdirs warns and takes a folder that will do.
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_path("agentd"))


def _socket_path(path: Path) -> Path:
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = _runtime_folder() / name / "s"
    if len(os.fsencode(short)) <= SOCKET_PATH_LIMIT:
        return short
    # The runtime folder itself may be deep (it follows TMPDIR on some systems); /tmp is not.
    return Path("/tmp") / f"agentd-{os.getuid()}-{name}" / "s"  # noqa: S108
