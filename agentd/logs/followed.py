"""One file that is followed: where it was found, how far it was read, and its open descriptor while it has one.

Which files those are, and what becomes of them, is not known here.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from agentd.errors import AgentdError
from agentd.logs.content import (
    PACKED,
    Content,
    Identity,
    begin_alike,
    identity_of,
    is_read_by,
    open_content,
    status_of,
)
from agentd.logs.rotated import base_of
from agentd.logs.tail import Tail
from agentd.records import Mark, path_of

Stamp = tuple[int, int, int]


class Followed:
    """A file by its identity; its name may change, and a file without a name is read on while it is open."""

    def __init__(self, mark: Mark, now: float, path: Path | None = None) -> None:
        """`now` is by the follower's clock; `path` is None where the file has yet to be found."""
        self.path = path
        self.status = status_of(path) if path else None  # as of the last look
        self.matched = False  # by a pattern, as of the last scan
        self.seen: Stamp | None = None  # as of the last reading
        self.quiet_since = now  # nothing was written since
        self.tail: Tail | None = None
        self._content: Content | None = None
        self._mark = mark  # while it is not open

    @property
    def mark(self) -> Mark:
        """Where reading stands."""
        return self.tail.mark if self.tail else self._mark

    @property
    def identity(self) -> Identity:
        """What it is known by."""
        return self._mark.device, self._mark.inode

    @property
    def name(self) -> Path:
        """Where it is, or else where it was first found."""
        return self.path or path_of(self._mark.path)

    @property
    def is_packed(self) -> bool:
        """Whether it is compressed: then it does not grow."""
        return self.name.suffix in PACKED

    @property
    def stamp(self) -> Stamp | None:
        """What changes when something is written; None where nothing can be read."""
        status = self.status
        return (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None

    def look(self) -> bool:
        """See how it is now; returns whether it lost its name since."""
        if self.path:
            self.status = status_of(self.path)
            if self.status and identity_of(self.status) == self.identity:
                return False
        lost, self.path = self.path is not None, None
        self.status = self._content.status() if self._content else None
        return lost

    def found_at(self, path: Path) -> None:
        """It has this name now."""
        self.path = path
        self.look()

    def shut(self) -> None:
        """Close it; what is held back is read again."""
        self._mark, self.tail = self.mark, None
        if self._content:
            self._content.close()
            self._content = None

    def go_on(self, make_tail: Callable[[Content, Mark], Tail]) -> bool:
        """Open it where reading stands; False where the bytes that were read are not there any more.

        It stays closed where another file has its name by now. Raises OSError or AgentdError.
        """
        if self.tail:
            size = self.status.st_size if self.status else 0
            return size >= self.tail.position and self.tail.begins_as_before()
        content = open_content(self.name)
        if identity_of(content.status()) != self.identity:
            content.close()
            self.path = None
            return True
        self._content = content
        if not is_read_by(content, self._mark):
            return False
        self.tail = make_tail(content, self._mark)
        return True

    def start_over(self, make_tail: Callable[[Content, Mark], Tail]) -> None:
        """Read it from its beginning: it was emptied, or another file got its inode."""
        self._mark = replace(self._mark, offset=0, crc=0)
        if self.tail:
            self.tail.start_over()
        elif self._content:
            self.tail = make_tail(self._content, self._mark)

    def has_copy(self, path: Path) -> bool:
        """Whether `path` is what rotation copies, or compresses, of it while it is still there itself.

        A beginning that many logs have tells nothing: all bytes that were read are compared.
        """
        packed = path.suffix in PACKED
        try:
            with self._text() as original, contextlib.closing(open_content(path)) as copy:
                if not is_read_by(original, self.mark):
                    return True  # emptied just now: its copies are looked through when it is read
                if not packed and (self.path is None or self.path.name != base_of(self.path.name)):
                    return False  # it was renamed, so nobody had to copy it
                return begin_alike(copy, original, self.mark.offset)
        except (AgentdError, OSError):
            return packed  # a file that is still being compressed cannot be read to its end

    @contextlib.contextmanager
    def _text(self) -> Iterator[Content]:
        """Its text, left open or closed as it was before."""
        if self._content:
            yield self._content
        else:
            with contextlib.closing(open_content(self.name)) as content:
                yield content
