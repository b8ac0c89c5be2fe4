"""One daemon a home: a lock file that the system frees however the daemon ends."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from agentd.errors import AlreadyRunning
from agentd.store.owner import current_owner, is_alive


@contextlib.contextmanager
def hold(lock: Path) -> Iterator[None]:
    """Be the daemon of this home while the block runs; raises `AlreadyRunning` with the other's pid."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = running_pid(lock)
            raise AlreadyRunning(
                f"agentd is already running here (pid {pid or 'unknown'})", hint="agentd status"
            ) from None
        file.truncate(0)
        json.dump({"pid": os.getpid(), "owner": current_owner()}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def running_pid(lock: Path) -> int | None:
    """The pid of the daemon that holds the lock, or None."""
    try:
        held = json.loads(lock.read_text("utf-8"))
        return int(held["pid"]) if is_alive(str(held["owner"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
