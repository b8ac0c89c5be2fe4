"""Following files by pattern through what happens to logs: rotation, truncation, compression, restarts.

A file is known by device, inode and how it begins, and never by its name. All state that lasts is the marks that
come with the chunks, one for each device and inode: whoever commits a chunk and its mark together loses no line
and counts none twice, however the process ends. Out of reach are what is written between a copy and the truncation
that follows it; a log that was emptied or compressed while nothing of it was read yet and no pattern means the
copy; and rotated files that were removed before anybody read them. What the lines say is not known here.
"""

import codecs
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Literal

from agentd.errors import AgentdError, Vanished
from agentd.logs.chunk import Chunk
from agentd.logs.content import (
    Identity,
    PackedContent,
    cannot_read,
    mark_at,
    open_content,
    status_of,
)
from agentd.logs.followed import Followed, Stamp
from agentd.logs.matching import matching_files
from agentd.logs.rotated import base_of, unread_pieces
from agentd.logs.tail import Tail, start_of_last_line
from agentd.records import Mark, path_of, source_of

RESCAN_SECONDS = 1.0  # how often the patterns are looked up again
LINGER_SECONDS = 60.0  # a log that was rotated away is read on until nobody wrote to it for so long
MAX_OPEN = 200  # files that stay open while nothing is written to them


class FileFollower:
    """The files that match some patterns. Nothing happens between one `poll` and the next."""

    def __init__(
        self,
        patterns: Sequence[str],
        *,
        start: Literal["end", "beginning"] | datetime,
        boundary: Callable[[bytes], int],
        first_time: bool,
        encoding: str = "utf-8",
        flush: float = 5.0,
        marks: Sequence[Mark] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on from `marks`; files without one that are there the `first_time` begin at `start`.

        `patterns` are absolute paths or globs, `**` too. Where `start` is a moment, a file that was written since
        is read from its beginning. `boundary` tells how many bytes of whole lines are entries that are complete;
        what comes after them is handed out once it did not grow for `flush` seconds. It is the first time until
        every chunk of the first poll is committed. Raises LookupError where there is no such encoding.
        """
        codecs.lookup(encoding)
        self.problems: dict[str, AgentdError] = {}  # what cannot be read now, by path
        self._patterns = tuple(patterns)
        self._start = start
        self._encoding = encoding
        self._clock = clock
        self._make_tail = partial(Tail, encoding=encoding, boundary=boundary, flush=flush, clock=clock)
        self._logs = {(mark.device, mark.inode): Followed(mark, clock()) for mark in marks}  # the oldest first
        self._first_time = first_time
        self._scanned = False
        self._at_first: set[Identity] = set()  # there the first time, and not begun yet
        self._copies: dict[Identity, tuple[Stamp | None, Identity]] = {}  # not read: stamp, and of what
        self._next_scan = clock()
        self._gone: list[Mark] = []

    @property
    def marks(self) -> list[Mark]:
        """Where reading stands in every file that is followed."""
        return [log.mark for log in self._logs.values()]

    def poll(self) -> Iterator[Chunk]:
        """What can be read now, to be taken to its end; a chunk without data only moves a mark.

        Where a chunk could not be committed, this follower is of no use any more: make another from the marks.
        """
        moved = [log for log in list(self._logs.values()) if log.look()]
        if moved or self._clock() >= self._next_scan:
            yield from self._scan(moved)
        opened = 0
        for identity, log in list(self._logs.items()):
            if self._logs.get(identity) is not log:
                continue  # something else was found in its place
            yield from self._follow(log)
            if not log.matched and log.seen and self._clock() - log.quiet_since >= LINGER_SECONDS:
                yield from self._finish(log)
            opened += log.tail is not None
            if opened > MAX_OPEN and log.matched and log.tail and not log.tail.holds:
                log.shut()
                opened -= 1

    def take_gone(self) -> list[Mark]:
        """Marks to forget, since nothing is there to be read under them: ask after a poll, before the next."""
        gone, self._gone = self._gone, []
        return [mark for mark in gone if (mark.device, mark.inode) not in self._logs]

    def close(self) -> None:
        """Close every file."""
        for log in self._logs.values():
            log.shut()

    def _scan(self, moved: Sequence[Followed]) -> Iterator[Chunk]:
        """Compare what the patterns match with what is known, and find what lost its name."""
        self._next_scan = self._clock() + RESCAN_SECONDS
        # A problem that is still one is met again.
        followed = {source_of(log.name) for log in self._logs.values()}
        self.problems = {source: why for source, why in self.problems.items() if source in followed}
        found = matching_files(self._patterns, self._report)
        self._copies = {identity: copy for identity, copy in self._copies.items() if identity in found}
        for log in self._logs.values():
            log.matched = log.identity in found
            if log.matched and not log.path:
                log.found_at(found[log.identity])
        lost = [log for log in self._logs.values() if not log.path and (log in moved or not log.tail)]
        for log in lost:
            yield from self._drain(log)
        for log in lost:
            yield from self._find_again(log)
        if self._first_time and not self._scanned:
            self._at_first = set(found) - set(self._logs)
        known = list(self._logs.values())
        for identity, path in found.items():
            if identity not in self._logs:
                yield from self._admit(path, identity, known)
        if not self._scanned:
            self._scanned = True
            # Where two were written at the same time, `app.log.1` is older than `app.log`.
            by_name = sorted(self._logs.values(), key=lambda log: log.name, reverse=True)
            self._logs = {log.identity: log for log in sorted(by_name, key=_written)}

    def _admit(self, path: Path, identity: Identity, known: Sequence[Followed]) -> Iterator[Chunk]:
        """Begin with a file that has no mark, unless it is a copy of one of those that were `known`."""
        log = Followed(Mark(source_of(path), *identity, 0, 0), self._clock(), path)
        log.matched = True
        if identity in self._at_first and self._is_too_old(log):
            try:
                log = self._at_end(log)
            except (AgentdError, OSError) as broken:
                self._report(path, broken)
                return
        elif identity not in self._at_first and self._is_copy(log, known):
            return
        self._at_first.discard(identity)
        self._logs[identity] = log
        yield _moved_to(log.mark)

    def _is_too_old(self, log: Followed) -> bool:
        if isinstance(self._start, datetime):
            return _written(log) < self._start.timestamp()
        return self._start == "end"

    def _at_end(self, log: Followed) -> Followed:
        """The same file, from the end of what was written before."""
        with contextlib.closing(open_content(log.name)) as content:
            packed = isinstance(content, PackedContent)
            offset = content.end() if packed else start_of_last_line(content, self._encoding)
            mark = mark_at(content, log.mark, offset)
        skipped = Followed(mark, self._clock(), log.name)
        skipped.matched = True
        return skipped

    def _is_copy(self, log: Followed, known: Sequence[Followed]) -> bool:
        """Whether this is what rotation copies, or compresses, of a file that is still there itself.

        Then it is left alone, until that one is emptied or removed and its copies are looked through.
        """
        base = base_of(log.name.name)
        if base == log.name.name:
            return False
        stamp, original = self._copies.get(log.identity, (None, None))
        if original in self._logs and stamp == log.stamp:
            return True
        for other in known:
            name = path_of(other.mark.path)
            related = name.parent == log.name.parent and base_of(name.name) == base
            if related and other.mark.offset and other.has_copy(log.name):
                self._copies[log.identity] = log.stamp, other.identity
                return True
        return False

    def _follow(self, log: Followed) -> Iterator[Chunk]:
        """Read what was written since the last time."""
        try:
            if log.status and log.stamp != log.seen:
                before, log.seen = log.seen, log.stamp
                yield from self._read(log, before)
            if log.tail:
                yield from log.tail.release()
        except (AgentdError, OSError) as broken:
            self._report(log.name, broken)
            log.shut()
            if not log.is_packed:
                log.seen = None  # a packed one is of no use until it changed

    def _read(self, log: Followed, seen: Stamp | None) -> Iterator[Chunk]:
        """Read a file that changed since it was `seen` so."""
        status = log.status
        if not log.go_on(self._make_tail):
            yield from self._read_copies(log, seen)
            if base_of(log.name.name) != log.name.name:
                # Rotation put something else there, a copy perhaps: that is judged as a new file is.
                log.shut()
                log.seen = None
                del self._logs[log.identity]
                self._next_scan = self._clock()
                return
            log.start_over(self._make_tail)
            yield _moved_to(log.mark)
        if log.tail and status:
            yield from log.tail.read(None if log.is_packed else status.st_size, status.st_mtime)
            if log.is_packed:
                yield from log.tail.release(at_once=True)
                log.shut()
            log.quiet_since = self._clock()
            self.problems.pop(source_of(log.name), None)

    def _read_copies(self, log: Followed, seen: Stamp | None) -> Iterator[Chunk]:
        """What was written to a file before it was emptied, as far as it was held back or its copies have it."""
        tail, mark = log.tail, log.mark
        pieces = unread_pieces(
            *(mark, self.marks, self._report),
            beginning=tail.beginning if tail else b"",
            written=seen[1] / 1e9 if seen else 0.0,
        )
        if tail and not (pieces and pieces[0][1].offset == mark.offset):
            yield from tail.release(at_once=True)
        self._copies = {copy: of for copy, of in self._copies.items() if of[1] != log.identity}
        yield from self._take_up(pieces)

    def _drain(self, log: Followed) -> Iterator[Chunk]:
        """Read what is left of a file that lost its name; all of it where it was removed."""
        yield from self._follow(log)
        if log.tail and log.status and not log.status.st_nlink:
            yield from log.tail.release(at_once=True)

    def _find_again(self, log: Followed) -> Iterator[Chunk]:
        """Look for a file that lost its name, or for what became of it, and for what was rotated since."""
        name = path_of(log.mark.path)
        pieces = unread_pieces(log.mark, self.marks, self._report)
        folder = status_of(name.parent)
        if not pieces and (not folder or folder.st_dev != log.mark.device):
            return  # its disk is away
        if (name, log.mark) in pieces:
            return  # it is there, and no pattern means it any more
        yield from self._take_up(pieces)
        if not log.path and not log.tail:
            self._forget(log)

    def _take_up(self, pieces: Sequence[tuple[Path, Mark]]) -> Iterator[Chunk]:
        """Read what rotation made of a log. Its mark moves to what has the unread text."""
        for path, mark in pieces:
            identity = mark.device, mark.inode
            if log := self._logs.get(identity):
                log.found_at(path)
                yield from self._follow(log)
            if identity not in self._logs:
                log = self._logs[identity] = Followed(mark, self._clock(), path)
                yield _moved_to(mark)
                yield from self._follow(log)

    def _finish(self, log: Followed) -> Iterator[Chunk]:
        """Let go of a file that has no name that a pattern means, and is not written to any more."""
        older = takewhile(lambda other: other is not log, self._logs.values())
        if any(not other.matched and other.mark.path == log.mark.path for other in older):
            return  # after a restart, what is newer than an old one and unknown is read
        if log.tail:
            yield from log.tail.release(at_once=True)
        if log.status and not log.status.st_nlink:
            # It was compressed, perhaps, and a pattern means what came of that.
            pieces = unread_pieces(log.mark, self.marks, self._report, written=log.status.st_mtime)
            yield from self._take_up(pieces)
        log.shut()
        self._forget(log)

    def _forget(self, log: Followed) -> None:
        del self._logs[log.identity]
        self._gone.append(log.mark)

    def _report(self, path: Path, broken: AgentdError | OSError) -> None:
        """Note what cannot be read; that a file is gone is no problem."""
        problem = cannot_read(path, broken) if isinstance(broken, OSError) else broken
        if not isinstance(problem, Vanished):
            self.problems[source_of(path)] = problem


def _moved_to(mark: Mark) -> Chunk:
    return Chunk(mark.path, mark.offset, b"", mark)


def _written(log: Followed) -> float:
    """When it was last written, in seconds since 1970."""
    return log.status.st_mtime if log.status else 0.0
