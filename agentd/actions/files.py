"""The four effects on files, each so that a death at any step leaves the file whole and can be taken up again.

What replaces a file is written beside it, flushed, and exchanged with it in one step; what was exchanged is then
compared with what should have been there, and exchanged back where somebody was faster. No file is ever
overwritten that was not read before, and none of another name at all. Journals and states are not known here.
"""

import contextlib
import errno
import hashlib
import os
from dataclasses import dataclass
from typing import NoReturn

from agentd.actions import swap
from agentd.actions.confine import Place, look, open_file
from agentd.errors import ChangedSince, Conflict

MAX_BYTES = 64 * 1024**2  # of a file whose content is replaced


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was read."""

    raw: bytes
    stat: os.stat_result

    @property
    def digest(self) -> str:
        """Its sha256."""
        return digest(self.raw)


def digest(raw: bytes) -> str:
    """The sha256 of some bytes."""
    return hashlib.sha256(raw).hexdigest()


def exists(place: Place) -> bool:
    """Whether anything stands at a place."""
    return look(place) is not None


def temporary(place: Place, change_id: int) -> Place:
    """The name beside a place under which a change prepares what it puts there. Hidden: watches leave it alone."""
    return place.beside(f".agentd-{change_id}.tmp")


def read(place: Place) -> Found | None:
    """The file at a place; None for nothing. Raises `Outside`, `ChangedSince` for one that grew too large."""
    try:
        descriptor = open_file(place)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ChangedSince(f"{place.path} is larger than {MAX_BYTES:,} bytes")
        return Found(raw, os.fstat(descriptor))


def digest_at(place: Place) -> str | None:
    """The sha256 of the file at a place; None for nothing. Raises `Outside`."""
    try:
        descriptor = open_file(place)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace(place: Place, change_id: int, before: str, after: bytes, mtime_ns: int | None = None) -> None:
    """Put `after` in the place of the file whose sha256 is `before`, with its mode, owner and attributes.

    Taken up again after a death, it finishes what was begun. Raises `ChangedSince` where the file is neither.
    """
    spare = temporary(place, change_id)
    now, beside = digest_at(place), read(spare)
    if now == digest(after):
        if beside is None or beside.digest == before or after.startswith(beside.raw):
            _remove(spare)  # it was done, and only that was left
            _flush(place)
            return
        # Somebody was faster than the exchange, and their file is the one beside.
        _exchange_back(spare, place)
    _remove(spare)
    if now != before:
        raise ChangedSince(f"{place.path} has changed since")
    found = look(place)
    assert found is not None
    _write(spare, after, mtime_ns)
    _keep_attributes(place, spare, found, times=False)
    if swap.exchange(spare, place):
        if digest_at(spare) != before:
            _exchange_back(spare, place)
        _remove(spare)
    else:
        # No exchange here: seen to be the right one, then replaced; the moment between the two stays open.
        if digest_at(place) != before:
            _remove(spare)
            raise ChangedSince(f"{place.path} has changed since")
        os.replace(spare.name, place.name, src_dir_fd=spare.folder, dst_dir_fd=place.folder)
    _flush(place)


def create(place: Place, change_id: int, after: bytes, mtime_ns: int | None = None) -> None:
    """Put a new file at a place; raises `Conflict` where another one stands there."""
    spare = temporary(place, change_id)
    _remove(spare)
    if digest_at(place) == digest(after):
        return
    _write(spare, after, mtime_ns)
    try:
        swap.move(spare, place)
    except FileExistsError as taken:
        _remove(spare)
        raise Conflict(f"there is another file {place.path}") from taken
    _flush(place)


def remove(place: Place, change_id: int, before: str) -> None:
    """Take away the file whose sha256 is `before`; raises `ChangedSince` where it is another one."""
    spare = temporary(place, change_id)
    if look(place) is None:
        _remove(spare)
        return
    _remove(spare)
    if digest_at(place) != before:
        raise ChangedSince(f"{place.path} has changed since")
    swap.move(place, spare)
    if digest_at(spare) != before:
        swap.move(spare, place)
        raise ChangedSince(f"{place.path} was changed by another program just now")
    _remove(spare)
    _flush(place)


def move(source: Place, target: Place, change_id: int, content: str) -> None:
    """Give the file whose sha256 is `content` another place, on another file system by a copy.

    Raises `Conflict` where that is taken, `ChangedSince` where the file is another one.
    """
    here, there = digest_at(source), digest_at(target)
    if here is None and there == content:
        return
    if here != content:
        raise ChangedSince(f"{source.path} has changed since" if here else f"{source.path} is gone")
    if there is not None:
        if there == content and _same_file(source, target):
            _remove(source)  # linked, and only the old name was left
            return
        if not (there == content and _copied(source, target)):
            raise Conflict(f"there is another file {target.path}")
        remove(source, change_id, content)
        return
    try:
        swap.move(source, target)
    except FileExistsError as taken:
        raise Conflict(f"there is another file {target.path}") from taken
    except OSError as broken:
        if broken.errno != errno.EXDEV:
            raise
        copy(source, target, change_id, content)
        remove(source, change_id, content)
        return
    if digest_at(target) != content:
        swap.move(target, source)
        raise ChangedSince(f"{source.path} was changed by another program just now")
    _flush(target)
    _flush(source)


def copy(source: Place, target: Place, change_id: int, content: str) -> None:
    """Copy the file whose sha256 is `content` with its times, mode, owner and attributes; raises as `move`."""
    spare = temporary(target, change_id)
    _remove(spare)
    if digest_at(target) == content and _copied(source, target):
        return
    found = look(source)
    descriptor = open_file(source)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        out = os.open(spare.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=spare.folder)
        with open(out, "wb") as written:  # noqa: PTH123
            while block := file.read(1 << 20):
                written.write(block)
            written.flush()
            os.fsync(out)
    assert found is not None
    _keep_attributes(source, spare, found, times=True)
    if digest_at(spare) != content:
        _remove(spare)
        raise ChangedSince(f"{source.path} has changed since")
    try:
        swap.move(spare, target)
    except FileExistsError as taken:
        _remove(spare)
        raise Conflict(f"there is another file {target.path}") from taken
    _flush(target)


def _exchange_back(spare: Place, place: Place) -> NoReturn:
    """Give somebody else's file its place again."""
    swap.exchange(spare, place)
    _remove(spare)
    _flush(place)
    raise ChangedSince(f"{place.path} was changed by another program just now")


def _write(place: Place, raw: bytes, mtime_ns: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place.name, flags, 0o600, dir_fd=place.folder)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        # A new file is for those who may see its folder; the daemon's own umask is for its own files.
        os.fchmod(descriptor, os.fstat(place.folder).st_mode & 0o666)
        file.write(raw)
        file.flush()
        if mtime_ns is not None:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        os.fsync(descriptor)


def _keep_attributes(source: Place, target: Place, found: os.stat_result, *, times: bool) -> None:
    """Give `target` the mode, owner and extended attributes of `source`, and its times."""
    reading, writing = open_file(source), open_file(target)
    try:
        os.fchmod(writing, found.st_mode & 0o7777)
        if (found.st_uid, found.st_gid) != (os.fstat(writing).st_uid, os.fstat(writing).st_gid):
            # Only root may give files away; a group that one is in may be kept.
            with contextlib.suppress(PermissionError):
                os.fchown(writing, found.st_uid, found.st_gid)
        if hasattr(os, "listxattr"):
            for name in os.listxattr(reading):
                # Attributes of the system's own are not for everybody to set.
                with contextlib.suppress(OSError):
                    os.setxattr(writing, name, os.getxattr(reading, name))
        if times:
            os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(writing)
    finally:
        os.close(reading)
        os.close(writing)


def _same_file(one: Place, other: Place) -> bool:
    first, second = look(one), look(other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _copied(source: Place, target: Place) -> bool:
    """Whether `target` looks like our own copy of `source`: same time to the nanosecond, and size."""
    first, second = look(source), look(target)
    return (
        first is not None
        and second is not None
        and (first.st_mtime_ns, first.st_size) == (second.st_mtime_ns, second.st_size)
    )


def _remove(place: Place) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place.name, dir_fd=place.folder)


def _flush(place: Place) -> None:
    os.fsync(place.folder)
