"""Files below a root, reached by descriptors alone: no symbolic link is followed, nothing outside can be named.

The root is opened once; every folder below it is opened from the descriptor of the one above. Whatever happens to
the paths meanwhile, an operation stays where it was checked to be.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import EffectFailed, Outside

# O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder: what stands there, if anything, is a matter of that folder alone."""

    folder: int  # a descriptor
    name: str
    path: Path  # for people

    def beside(self, name: str) -> "Place":
        """Another name in the same folder."""
        return Place(self.folder, name, self.path.with_name(name))


@contextlib.contextmanager
def open_place(roots: Sequence[Path], path: Path, *, create: bool = False) -> Iterator[Place]:
    """The place of a path below one of the roots; with `create`, missing folders on the way are made.

    Raises `Outside` where the path is below none of them, or a link or a file stands on the way.
    """
    root = next((root for root in roots if path.is_relative_to(root) and path != root), None)
    if root is None or ".." in path.parts:
        known = ", ".join(map(str, roots)) or "none"
        raise Outside(f"{path} is outside the folders in which changes are allowed ({known})")
    *folders, name = path.relative_to(root).parts
    try:
        if create:
            root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, _FOLDER)
    except OSError as broken:
        raise EffectFailed(f"cannot open {root}: {broken.strerror}", hint=f"ls -ld '{root}'") from broken
    try:
        reached = root
        for folder in folders:
            reached /= folder
            inner = _enter(descriptor, folder, reached, create=create)
            os.close(descriptor)
            descriptor = inner
        yield Place(descriptor, name, path)
    finally:
        os.close(descriptor)


def _enter(descriptor: int, name: str, path: Path, *, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=descriptor)
            # As the folder it lies in; the daemon's own umask is for its own files.
            os.chmod(name, os.fstat(descriptor).st_mode & 0o777, dir_fd=descriptor)
            os.fsync(descriptor)
    try:
        return os.open(name, _FOLDER, dir_fd=descriptor)
    except OSError as broken:
        if broken.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Outside(f"{path} is a link or a file, no folder: changes do not go through it") from broken
        raise EffectFailed(f"cannot open {path}: {broken.strerror}", hint=f"ls -ld '{path}'") from broken


def look(place: Place) -> os.stat_result | None:
    """What stands at a place; None for nothing. A link is seen as itself."""
    try:
        return os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(place: Place) -> int:
    """A descriptor to read the regular file at a place; raises `Outside` for anything else, `OSError`."""
    try:
        descriptor = os.open(place.name, _FILE, dir_fd=place.folder)
    except OSError as broken:
        if broken.errno == errno.ELOOP:
            raise Outside(f"{place.path} is a symbolic link, which is not followed") from broken
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Outside(f"{place.path} is not a regular file")
    return descriptor
