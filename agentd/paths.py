"""Where agentd keeps things: config, tasks, database, log, lock and socket.

`AGENTD_HOME` puts all of it under one folder; without it, the platform's own folders are used. Nothing is
created here but by `make_folders`.
"""

import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
SOCKET_PATH_LIMIT = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one home."""

    config: Path  # config.yaml
    tasks: Path  # the user's own task files
    database: Path
    log: Path  # of a detached daemon
    lock: Path  # held by the running daemon, with its pid
    socket: Path

    def make_folders(self) -> None:
        """Create the folders, the socket's one for this user alone."""
        for folder in (self.config.parent, self.tasks, self.database.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.parent.chmod(0o700)


def find_paths() -> Paths:
    """The paths of `AGENTD_HOME`, or else the platform's."""
    home = os.environ.get("AGENTD_HOME")
    if home:
        root = Path(home).expanduser().absolute()
        config, data, state, runtime = root, root, root, root / "run"
    else:
        config = Path(platformdirs.user_config_path("agentd"))
        data = Path(platformdirs.user_data_path("agentd"))
        state = Path(platformdirs.user_state_path("agentd"))
        runtime = Path(platformdirs.user_runtime_path("agentd"))
    return Paths(
        config=config / "config.yaml",
        tasks=config / "tasks",
        database=data / "agentd.db",
        log=state / "agentd.log",
        lock=state / "agentd.lock",
        socket=_socket_path(runtime / "agentd.sock"),
    )


def _socket_path(path: Path) -> Path:
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = Path(platformdirs.user_runtime_path("agentd")) / name / "s"
    if len(os.fsencode(short)) <= SOCKET_PATH_LIMIT:
        return short
    # The runtime folder itself may be deep (it follows TMPDIR on some systems); /tmp is not.
    root = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())  # noqa: S108
    return root / f"agentd-{os.getuid()}-{name}" / "s"
