"""Files below a root, reached by descriptors alone: no symbolic link is followed, nothing outside can be named.

The root is opened from the top of the file system, and every folder from the descriptor of the one above.
Whatever happens to the paths meanwhile, an operation stays where it was checked to be.
"""

import contextlib
import errno
import os
import shlex
import stat
import sys
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

    The roots have no links in them. Raises `Outside` where the path is below none of them, or a link or a file
    stands on the way.
    """
    root = next((root for root in roots if path.is_relative_to(root) and path != root), None)
    if root is None or ".." in path.parts:
        known = ", ".join(map(str, roots)) or "none"
        raise Outside(f"{path} is outside the folders in which changes are allowed ({known})")
    *folders, name = path.relative_to(root).parts
    with _explained(root):
        if create:
            root.mkdir(parents=True, exist_ok=True)
        descriptor = _open_root(root)
    try:
        reached = root
        for folder in folders:
            reached /= folder
            with _explained(reached):
                inner = _enter(descriptor, folder, create=create)
            os.close(descriptor)
            descriptor = inner
        yield Place(descriptor, name, path)
    finally:
        os.close(descriptor)


def _open_root(root: Path) -> int:
    """A descriptor of a root; a link that took the place of any folder above it is not followed either."""
    if sys.platform == "darwin":
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW_ANY | os.O_CLOEXEC)
    top, *folders = root.parts
    descriptor = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, folder in enumerate(folders):
        # A folder above may be one that only lets through.
        how = _FOLDER if index == len(folders) - 1 else _FOLDER | os.O_PATH
        try:
            inner = os.open(folder, how, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _enter(descriptor: int, name: str, *, create: bool) -> int:
    made = False
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=descriptor)
            made = True
    inner = os.open(name, _FOLDER, dir_fd=descriptor)
    if made:
        # As the folder it lies in; the daemon's own umask is for its own files.
        os.fchmod(inner, os.fstat(descriptor).st_mode & 0o2777)
        os.fsync(descriptor)
    return inner


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system says about a folder on the way, as a `ChangeError`."""
    try:
        yield
    except OSError as broken:
        if broken.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Outside(f"{path} is a link or a file, no folder: changes do not go through it") from broken
        if broken.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = f"ls -ld {shlex.quote(str(path))}"
        raise EffectFailed(f"cannot open {path}: {broken.strerror}", hint=hint) from broken


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
        if broken.errno == errno.ENXIO:
            raise Outside(f"{place.path} is not a regular file") from broken
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Outside(f"{place.path} is not a regular file")
    return descriptor
