"""Hints that something below a folder changed, from the system where it gives any.

watchdog's events come in a thread of their own and are handed to the event loop as names. What a hint is worth,
and that some are lost, whoever asked for them knows.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

Hint = Callable[[Sequence[str]], None]

# Reading a file causes events of its own; only these kinds say that something changed.
_CHANGES = frozenset({"created", "modified", "moved", "deleted", "closed", "attrib"})

# File systems that other machines write to; what is behind FUSE is known by what follows the dot.
_NETWORK = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "glusterfs", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs"),
        *("vmhgfs", "webdav"),
        *("fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.mergerfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.sshfs", "fuse.vmhgfs-fuse", "macfuse", "osxfuse"),
    }
)


@contextlib.contextmanager
def observe(folder: Path, hint: Hint, *, recursive: bool) -> Iterator[Callable[[], bool]]:
    """Get hints while the block runs; raises `OSError` where the system gives none.

    Yields a function that tells whether the observed folder is still the one that has this name: one that was
    removed and made anew, or moved away, would leave the trigger blind without a word.
    """
    same = identify(folder)
    observer = Observer()
    observer.schedule(_Handler(asyncio.get_running_loop(), hint), str(folder), recursive=recursive)
    observer.start()
    try:
        yield lambda: same() and all(emitter.is_alive() for emitter in observer.emitters)
    finally:
        observer.stop()


def identify(folder: Path) -> Callable[[], bool]:
    """Remember which folder has this name; the function that is returned tells whether it is the same still."""
    before = _identity(folder)
    return lambda: _identity(folder) == before


def network_type(folder: Path) -> str | None:
    """The kind of network file system on which a folder lies; None for a disk of this machine."""
    inside = [
        (len(partition.mountpoint), partition.fstype)
        for partition in psutil.disk_partitions(all=True)
        if folder.is_relative_to(partition.mountpoint)
    ]
    # Of several mounts on one place, the last one is what is seen.
    kind = max(reversed(inside), key=lambda one: one[0], default=(0, ""))[1]
    return kind if kind in _NETWORK else None


class _Handler(FileSystemEventHandler):
    """Carries hints from watchdog's thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hint: Hint) -> None:
        self._loop = loop
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on what was named, if it changed."""
        # A folder is "modified" whenever a file in it is, which has a hint of its own.
        if event.event_type in _CHANGES and not (event.is_directory and event.event_type == "modified"):
            names = [os.fsdecode(name) for name in (event.src_path, event.dest_path) if name]
            # The loop closes before the last event of a dying observer may come.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._hint, names)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
