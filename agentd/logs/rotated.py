"""What rotation makes of a log: renamed, copied or compressed files beside it, and which of them hold unread text.

The pieces of `app.log` are `app.log.1`, `app.log.2.gz`, `app.log-20261124.zst` and the like, in the same folder.
What the follower has open, and where it stands now, is not known here.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from agentd.errors import AgentdError
from agentd.logs.content import (
    FINGERPRINT_BYTES,
    PACKED,
    Content,
    cannot_read,
    identity_of,
    is_read_by,
    mark_at,
    open_content,
    status_of,
)
from agentd.records import Mark, path_of

T = TypeVar("T")

Report = Callable[[Path, AgentdError], None]

_ENDINGS = "|".join(map(re.escape, PACKED))
_TURN = re.compile(rf"(?:[.-](?P<turn>\d[\dT.:_-]*|old|bak))?(?:{_ENDINGS})?")
_BASE = re.compile(rf"(?P<base>.+?){_TURN.pattern}")
_COUNT_DIGITS = 5  # of a turn that counts up as it ages; one with more is a date
_CLOCK_SECONDS = 1.0  # how much earlier a copy's time may say it was written: some programs keep whole seconds


def base_of(name: str) -> str:
    """The name that a log had before it was rotated or compressed."""
    found = _BASE.fullmatch(name)
    return found["base"] if found else name


def pieces_of(log: Path) -> list[Path]:
    """The files that rotation made of this log, oldest first; one that is only just compressed is there once."""
    try:
        with os.scandir(log.parent) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError:
        return []  # whoever reads the log itself says that its folder cannot be read
    turns = {name: turn for name in names if (turn := _turn(log.name, name)) is not None}
    for name in list(turns):
        if name.endswith(PACKED) and name.rpartition(".")[0] in turns:
            del turns[name]
    return [log.with_name(name) for name in _oldest_first(log.parent, turns)]


def unread_pieces(
    mark: Mark, marks: Sequence[Mark], report: Report, *, beginning: bytes = b"", written: float = 0.0
) -> list[tuple[Path, Mark]]:
    """Where the unread text of a log is whose name now belongs to another, or that was emptied; oldest first.

    That is the file of the mark itself under another name, or else its copy; and all that was rotated after it.
    Those may have marks of their own among `marks`, which count more. `beginning` is how the log began and
    `written` when last (in seconds since 1970), as far as its reader still knows: a copy is no older. What cannot
    be read is reported.
    """
    log = path_of(mark.path)
    # What took the place of these is read from where the furthest of them stood.
    emptied = [other for other in marks if other.path == mark.path and not _renamed(log, other, report)]
    holder = _renamed(log, mark, report)
    if holder is None:
        copies = (
            path
            for path in reversed(pieces_of(log.with_name(base_of(log.name))))
            if not (status := status_of(path)) or status.st_mtime + _CLOCK_SECONDS >= written
        )
        found = next(((path, copy) for path in copies if (copy := _copy(path, mark, report, beginning))), None)
        if found is not None:
            holder = found[0], _furthest([found[1], *_copies(found[0], emptied, report)])
        elif (path := _rewritten(log, mark)) is not None:
            holder = path, _furthest([replace(mark, offset=0, crc=0), *_copies(path, marks, report)])
        else:
            return []
    pieces = pieces_of(log)
    newer = pieces[pieces.index(holder[0]) + 1 :] if holder[0] in pieces else []
    return [holder, *_newer(newer, mark.path, emptied, report)]


def _turn(base: str, name: str) -> str | None:
    """What rotation added to `base`, without what compression did: `1`, `20261124`; None for another log."""
    if not name.startswith(base) or name == base:
        return None
    found = _TURN.fullmatch(name, len(base))
    return (found["turn"] or "") if found else None


def _oldest_first(folder: Path, turns: dict[str, str]) -> list[str]:
    """Names by their turns; by the time of the last write where those do not tell."""
    if all(turn.isdigit() and len(turn) <= _COUNT_DIGITS for turn in turns.values()):
        return sorted(turns, key=lambda name: -int(turns[name]))
    if all(turn[:1].isdigit() and len(turn) > _COUNT_DIGITS for turn in turns.values()):
        return sorted(turns, key=lambda name: turns[name])
    return sorted(turns, key=lambda name: status.st_mtime_ns if (status := status_of(folder / name)) else 0)


def _renamed(log: Path, mark: Mark, report: Report) -> tuple[Path, Mark] | None:
    """The file of the mark, under whatever name it has beside the log or beside what the log points to."""
    for folder in dict.fromkeys((log.parent, log.resolve().parent)):
        try:
            with os.scandir(folder) as entries:
                paths = [folder / entry.name for entry in entries if entry.inode() == mark.inode]
        except OSError as broken:
            report(folder, cannot_read(folder, broken))
            continue
        for path in paths:
            status = status_of(path)
            if not status or identity_of(status) != (mark.device, mark.inode):
                continue
            # One that cannot be read now is not lost: it is tried again.
            if _look(path, lambda content: is_read_by(content, mark), report) is not False:
                return path, mark
    return None


def _rewritten(log: Path, mark: Mark) -> Path | None:
    """The file of the mark where it was emptied, written anew and renamed while nobody looked."""
    identities = ((path, status_of(path)) for path in pieces_of(log))
    return next(
        (path for path, status in identities if status and identity_of(status) == (mark.device, mark.inode)), None
    )


def _copies(path: Path, marks: Sequence[Mark], report: Report) -> Iterator[Mark]:
    """What a file is a copy of: for each of these marks that fits, the mark of the copy."""
    return (copy for mark in marks if (copy := _copy(path, mark, report)))


def _copy(path: Path, mark: Mark, report: Report, beginning: bytes = b"") -> Mark | None:
    """The mark that says how much of a copy was read under this mark; None where it is no copy."""
    return _look(path, lambda content: _copied(content, mark, beginning), report) if mark.offset else None


def _copied(content: Content, mark: Mark, beginning: bytes) -> Mark | None:
    device, inode = identity_of(content.status())
    copy = replace(mark, device=device, inode=inode)
    if is_read_by(content, mark):
        return copy
    # What was written between the copy and the emptying was read and is in no copy.
    begins = content.read_at(0, FINGERPRINT_BYTES)
    if 0 < (end := content.end()) < mark.offset and begins == beginning[: len(begins)]:
        return mark_at(content, copy, end)
    return None


def _newer(
    paths: Sequence[Path], source: str, emptied: Sequence[Mark], report: Report
) -> Iterator[tuple[Path, Mark]]:
    """What was rotated later; where it is the copy of a log that was emptied since, what was read is left out."""
    for path in paths:
        if status := status_of(path):
            new = Mark(source, *identity_of(status), 0, 0)
            yield path, _furthest([new, *_copies(path, emptied, report)])


def _furthest(marks: Iterable[Mark]) -> Mark:
    return max(marks, key=lambda mark: mark.offset)


def _look(path: Path, question: Callable[[Content], T], report: Report) -> T | None:
    """What the text of a file answers; None, and a report, where it cannot be read."""
    try:
        content = open_content(path)
        try:
            return question(content)
        finally:
            content.close()
    except AgentdError as broken:
        report(path, broken)
    except OSError as broken:
        report(path, cannot_read(path, broken))
    return None
