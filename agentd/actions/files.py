"""The four effects on files, each so that a death at any step leaves the file whole and can be taken up again.

What replaces a file is written beside it, flushed, and exchanged with it in one step; what was exchanged is then
compared with what should have been there, and exchanged back where somebody was faster. No file is ever
overwritten that was not read before, and none of another name at all; what turns out to be somebody else's is
never removed. A step that fails leaves nothing behind. Journals and states are not known here.
"""

import contextlib
import errno
import hashlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from agentd.actions import attributes, swap
from agentd.actions.confine import Place, look, open_file
from agentd.errors import ChangedSince, Conflict, NotEditable

MAX_BYTES = 64 * 1024**2  # of a file whose content is replaced
_COARSE_NS = 2 * 10**9  # how coarse the times of a file system may be: FAT's


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
    """The file at a place; None for nothing. Raises `Outside`, `NotEditable` for one that is too large."""
    try:
        descriptor = open_file(place)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise NotEditable(f"{place.path} is larger than {MAX_BYTES:,} bytes")
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

    Taken up again after a death, it finishes what was begun. Raises `ChangedSince` where the file is neither,
    `NotEditable` where it is read-only or its owner would not stay the same.
    """
    spare = temporary(place, change_id)
    now, beside = digest_at(place), read(spare)
    ours = beside is None or beside.digest == before or after.startswith(beside.raw)
    if now == digest(after) and ours:
        _remove(spare)  # it was done, and only that was left
        _flush(place)
        return
    if not ours and now == digest(after):
        # Somebody was faster than the exchange, and their file is the one beside.
        _exchange_back(spare, place, after)
    if not ours and now != before:
        _put_back(spare, place)
        raise _overtaken(place)
    _remove(spare)
    if now != before:
        raise ChangedSince(f"{place.path} has changed since")
    found = look(place)
    assert found is not None
    if not found.st_mode & 0o222:
        raise NotEditable(f"{place.path} is read-only", hint=f"chmod u+w {shlex.quote(str(place.path))}")
    with _prepared(spare):
        _write(spare, after, mtime_ns)
        attributes.keep(place, spare, found, times=False, strict=True)
        exchanged = swap.exchange(spare, place)
        if not exchanged:
            # No exchange here: seen to be the right one, then replaced; the moment between the two stays open.
            if digest_at(place) != before:
                raise ChangedSince(f"{place.path} has changed since")
            os.replace(spare.name, place.name, src_dir_fd=spare.folder, dst_dir_fd=place.folder)
    if exchanged:
        if digest_at(spare) != before:
            _exchange_back(spare, place, after)
        _remove(spare)
    _flush(place)


def create(place: Place, change_id: int, after: bytes) -> None:
    """Put a new file at a place; raises `Conflict` where another one stands there."""
    spare = temporary(place, change_id)
    _remove(spare)
    if digest_at(place) == digest(after):
        _flush(place)
        return
    with _prepared(spare):
        _write(spare, after, None, mode=os.fstat(place.folder).st_mode & 0o666)
        _move_new(spare, place)
    _flush(place)


def remove(place: Place, change_id: int, before: str) -> None:
    """Take away the file whose sha256 is `before`; raises `ChangedSince` where it is another one."""
    spare = temporary(place, change_id)
    _take_off(spare, place, before)  # after a death, what it left
    now = digest_at(place)
    if now is not None:
        if now != before:
            raise ChangedSince(f"{place.path} has changed since")
        swap.move(place, spare)
        _take_off(spare, place, before)
    _flush(place)


def move(source: Place, target: Place, change_id: int, content: str) -> None:
    """Give the file whose sha256 is `content` another place, on another file system by a copy.

    Raises `Conflict` where that is taken, `ChangedSince` where the file is another one.
    """
    # What a death left of taking the file away at its old place, on another file system.
    _take_off(temporary(source, change_id), source, content)
    _remove(temporary(target, change_id))
    here, there = digest_at(source), digest_at(target)
    if here is None and there == content:
        _flush(target)
        _flush(source)
        return
    if here != content:
        gone = "is gone" if there is None else f"is gone, and another file is {target.path}"
        raise ChangedSince(f"{source.path} {'has changed since' if here else gone}")
    if there is not None:
        if there == content and _same_file(source, target):
            _remove(source)  # linked, and only the old name was left
            _flush(source)
            return
        if not (there == content and _copied(source, target)):
            raise Conflict(f"there is another file {target.path}")
        remove(source, change_id, content)
        return
    try:
        _move_new(source, target)
    except OSError as broken:
        if broken.errno != errno.EXDEV:
            raise
        copy(source, target, change_id, content)
        remove(source, change_id, content)
        return
    if digest_at(target) != content:
        _put_back(target, source)
        raise _overtaken(source)
    _flush(target)
    _flush(source)


def copy(source: Place, target: Place, change_id: int, content: str) -> None:
    """Copy the file whose sha256 is `content` with its times, mode, owner and attributes; raises as `move`."""
    spare = temporary(target, change_id)
    _remove(spare)
    if digest_at(target) == content and _copied(source, target):
        _flush(target)
        return
    try:
        descriptor = open_file(source)
    except FileNotFoundError as gone:
        raise ChangedSince(f"{source.path} is gone") from gone
    with open(descriptor, "rb") as file, _prepared(spare):  # noqa: PTH123 - a descriptor, not a path
        out = _create(spare)
        with open(out, "wb") as written:  # noqa: PTH123
            while block := file.read(1 << 20):
                written.write(block)
            written.flush()
            os.fsync(out)
        attributes.keep(source, spare, os.fstat(descriptor), times=True, strict=False)
        if digest_at(spare) != content:
            raise ChangedSince(f"{source.path} has changed since")
        _move_new(spare, target)
    _flush(target)


def _exchange_back(spare: Place, place: Place, after: bytes) -> NoReturn:
    """Give somebody else's file its place again; what came into ours meanwhile is kept beside it."""
    swap.exchange(spare, place)
    if digest_at(spare) == digest(after):
        _remove(spare)
    else:
        _put_back(spare, place)
    _flush(place)
    raise _overtaken(place)


def _overtaken(place: Place) -> ChangedSince:
    return ChangedSince(f"{place.path} was changed by another program just now")


@contextlib.contextmanager
def _prepared(spare: Place) -> Iterator[None]:
    """Leave nothing behind where a step fails, on a full disk say; what a death leaves is taken up again."""
    try:
        yield
    except Exception:
        _remove(spare)
        raise


def _move_new(source: Place, target: Place) -> None:
    try:
        swap.move(source, target)
    except FileExistsError as taken:
        raise Conflict(f"there is another file {target.path}") from taken


def _take_off(spare: Place, place: Place, before: str) -> None:
    """Remove what was moved aside; where that is another file than `before`, it gets its place again."""
    found = digest_at(spare)
    if found is not None and found != before:
        _put_back(spare, place)
        raise _overtaken(place)
    _remove(spare)


def _put_back(spare: Place, place: Place) -> None:
    """Give somebody else's file its name again, or one beside it that people see, where there is a newer one."""
    names = (place.name, *(f"{place.path.stem} (kept {number}){place.path.suffix}" for number in range(1, 100)))
    for name in names:
        with contextlib.suppress(FileExistsError):
            swap.move(spare, place.beside(name))
            _flush(place)
            return
    raise Conflict(f"there is another file {place.path}, and what it was before is {spare.path}")


def _create(place: Place) -> int:
    """A new file that nobody else may read yet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(place.name, flags, 0o600, dir_fd=place.folder)


def _write(place: Place, raw: bytes, mtime_ns: int | None, mode: int | None = None) -> None:
    descriptor = _create(place)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(raw)
        file.flush()
        if mode is not None:
            # A new file is for those who may see its folder; the daemon's own umask is for its own files.
            os.fchmod(descriptor, mode)
        if mtime_ns is not None:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        os.fsync(descriptor)


def _same_file(one: Place, other: Place) -> bool:
    first, second = look(one), look(other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _copied(source: Place, target: Place) -> bool:
    """Whether `target` looks like our own copy of `source`: same size, and time as far as file systems keep it."""
    first, second = look(source), look(target)
    return (
        first is not None
        and second is not None
        and first.st_size == second.st_size
        and abs(first.st_mtime_ns - second.st_mtime_ns) <= _COARSE_NS
    )


def _remove(place: Place) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place.name, dir_fd=place.folder)


def _flush(place: Place) -> None:
    os.fsync(place.folder)
