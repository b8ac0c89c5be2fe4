"""One open log: what was appended becomes chunks of whole entries, and nothing is handed out twice.

Bytes are cut at newlines before anything is decoded, a block at a time and never line by line. A line that is not
finished and an entry that may go on are held back, and are not part of the mark: a restart reads them again.
Where a file is found, and whether it is still the one that was read, is not known here.
"""

import codecs
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from agentd.logs.chunk import CHUNK_BYTES, MAX_LINE, Chunk
from agentd.logs.content import FINGERPRINT_BYTES, Content
from agentd.records import Mark

_LEAST_BYTES = 64 * 1024  # a read is no smaller, however much is held back
_BOM = "\ufeff".encode()


class Codec:
    """How one file writes a line end, and how it becomes UTF-8."""

    def __init__(self, encoding: str, beginning: bytes) -> None:
        """`beginning` is how the file begins: a byte order mark there tells what plain `utf-16` is.

        Raises LookupError where there is no such encoding.
        """
        name = codecs.lookup(encoding).name
        if name == "utf-16":
            name = "utf-16-be" if beginning.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        self._name = name
        self._is_utf8 = name in ("utf-8", "utf-8-sig", "ascii")
        self.newline = "\n".encode(name)
        self.unit = len(self.newline)  # bytes; a newline begins at a multiple of it

    def after_first(self, data: bytes) -> int:
        """Where the first line ends, its newline included; 0 where none does."""
        return self._after(data, self.newline)

    def after_last(self, data: bytes, end: int | None = None) -> int:
        """Where the last line that is finished before `end` ends; 0 where none is."""
        end = len(data) if end is None else end
        while (at := data.rfind(self.newline, 0, end)) % self.unit and at >= 0:
            end = at + self.unit - 1
        return at + self.unit if at >= 0 else 0

    def before_nul(self, data: bytes) -> int:
        """Where the first line ends that NULs follow; 0 where there is none."""
        if b"\0" not in data:
            return 0
        after = self._after(data, self.newline + bytes(self.unit))
        return after - self.unit if after else 0

    def leading_nuls(self, data: bytes) -> int:
        """How many bytes of NUL characters `data` begins with."""
        if not data.startswith(bytes(self.unit)):
            return 0
        found = re.match(rb"\0*+", data)
        count = found.end() if found else 0
        return count - count % self.unit

    def to_utf8(self, data: bytes) -> bytes:
        """`data` as UTF-8; what is UTF-8 already is left as it is, bad bytes included."""
        return data if self._is_utf8 else data.decode(self._name, errors="replace").encode()

    def boundary(self, lines: bytes, rule: Callable[[bytes], int]) -> int:
        """How many bytes of `lines` are complete by a rule that looks at UTF-8."""
        if self._is_utf8 or not lines:
            return rule(lines)
        text = self.to_utf8(lines)
        # Lengths differ, so the lines that are held back are counted from the end.
        end = len(lines)
        for _ in range(text.count(b"\n", rule(text))):
            end = self.after_last(lines, end - self.unit)
        return end

    def _after(self, data: bytes, wanted: bytes) -> int:
        at = data.find(wanted)
        while at % self.unit and at >= 0:
            at = data.find(wanted, at + 1)
        return at + len(wanted) if at >= 0 else 0


def start_of_last_line(content: Content, encoding: str) -> int:
    """Where a line begins that is not finished yet; the end of the text where there is none."""
    end = content.end()
    codec = Codec(encoding, content.read_at(0, FINGERPRINT_BYTES))
    end -= end % codec.unit
    start = max(end - MAX_LINE, 0)
    line = codec.after_last(content.read_at(start, end - start))
    return start + line if line or not start else end


class Tail:
    """Reading of one open file from a mark on. What it was handed is closed with it.

    Every chunk has to be taken: the mark that comes with it already counts it as read. A line that is longer than
    MAX_LINE is cut and stands alone. A last line that nobody ends is handed out after `flush` seconds; what is
    then written behind it is a line of its own.
    """

    def __init__(
        self,
        content: Content,
        mark: Mark,
        *,
        encoding: str,
        boundary: Callable[[bytes], int],
        flush: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`boundary` tells how many bytes of whole lines are entries that are surely complete."""
        self._content = content
        self._encoding = encoding
        self._learn_beginning()
        self._mark = mark
        self._boundary = boundary
        self._flush = flush
        self._clock = clock
        self._offset = mark.offset  # of the first byte that was not handed out
        self._lines = b""  # whole lines from there on, of an entry that may go on
        self._part = b""  # of a line, after them
        self._nuls = 0  # bytes after the offset that are skipped with the next chunk
        self._overlong = False  # the part is the beginning of a line that is cut
        self._left_out = 0  # bytes of that line that were read and dropped
        self._discarding = False  # until the end of a line that was handed out already, cut
        self._ended_by_us = False  # the line before the offset had no newline yet
        self._waiting_since = clock()
        self._modified = 0.0
        self._look_back()

    @property
    def mark(self) -> Mark:
        """Where reading stands: what comes after it was not handed out."""
        return self._mark_at(self._offset)

    @property
    def position(self) -> int:
        """How many bytes were read, those that are held back included."""
        return self._offset + self._nuls + len(self._lines) + len(self._part) + self._left_out

    @property
    def holds(self) -> bool:
        """Whether text was read and not handed out."""
        return bool(self._lines or self._part)

    @property
    def beginning(self) -> bytes:
        """The first bytes that were read, as many as a fingerprint takes."""
        return self._beginning[: self._offset + len(self._lines) + len(self._part)]

    def begins_as_before(self) -> bool:
        """Whether the file still begins with the bytes that were read."""
        return self._content.read_at(0, len(self.beginning)) == self.beginning

    def read(self, size: int | None, modified: float) -> Iterator[Chunk]:
        """What was written up to `size` bytes (None: to the end). `modified`: when, in seconds since 1970."""
        self._modified = modified
        while block := self._block(size):
            self._waiting_since = self._clock() if not self._overlong else self._waiting_since
            yield from self._take(block)
        if not self.holds:
            # NULs at the end may be room that a writer made beforehand: what is written there has to be seen.
            self._nuls = 0

    def release(self, *, at_once: bool = False) -> Iterator[Chunk]:
        """What was held back for too long, or `at_once` all of it: nothing more is to come."""
        if not self.holds or not (at_once or self._clock() - self._waiting_since >= self._flush):
            return
        if self._overlong:
            self._discarding = True
            yield self._cut(ended=False)
            return
        data, self._ended_by_us = self._lines + self._part, bool(self._part)
        end = b"\n" if self._part else b""
        self._lines = self._part = b""
        yield self._chunk(self._codec.to_utf8(data) + end, len(data))

    def start_over(self) -> None:
        """Go on from the file's beginning, without what is held: the file was emptied."""
        self._lines = self._part = b""
        self._offset = self._nuls = self._left_out = 0
        self._overlong = self._discarding = self._ended_by_us = False
        self._learn_beginning()

    def close(self) -> None:
        """Close the file; what is held is read again by whoever goes on from the mark."""
        self._content.close()

    def _learn_beginning(self) -> None:
        self._beginning = self._content.read_at(0, FINGERPRINT_BYTES)
        self._codec = Codec(self._encoding, self._beginning)

    def _look_back(self) -> None:
        """A mark inside a line says that the line was handed out unended, or that it was cut."""
        newline, unit = self._codec.newline, self._codec.unit
        if not self._offset or self._content.read_at(max(self._offset - unit, 0), unit) == newline:
            return
        # A line that was cut is longer than MAX_LINE; one that had no end yet is not.
        reach = MAX_LINE + unit
        before = self._content.read_at(max(self._offset - reach, 0), min(self._offset, reach))
        if len(before) == reach and not self._codec.after_last(before):
            self._discarding = True
        else:
            self._ended_by_us = True

    def _block(self, size: int | None) -> bytes:
        wanted = max(CHUNK_BYTES - len(self._lines) - len(self._part), _LEAST_BYTES)
        if size is not None:
            wanted = min(wanted, size - self.position)
        block = self._content.read_at(self.position, wanted) if wanted > 0 else b""
        if len(self._beginning) < FINGERPRINT_BYTES:
            self._learn_beginning()
        return block[: len(block) - len(block) % self._codec.unit]

    def _take(self, block: bytes) -> Iterator[Chunk]:
        if self._discarding:
            end = self._codec.after_first(block)
            yield self._discard(end or len(block), ended=bool(end))
            block = block[end:] if end else b""
        if self._ended_by_us and block:
            self._ended_by_us = False
            if block.startswith(self._codec.newline):
                # It ends a line that was handed out: not an empty one.
                self._offset += self._codec.unit
                block = block[self._codec.unit :]
        while block:
            if nuls := 0 if self._part else self._codec.leading_nuls(block):
                yield from self._hand_out_lines()
                self._nuls += nuls
                block = block[nuls:]
            else:
                end = self._codec.before_nul(block) or len(block)
                yield from self._append(block[:end])
                block = block[end:]

    def _append(self, data: bytes) -> Iterator[Chunk]:
        """Take what follows the part that is held."""
        end = self._codec.after_first(data)
        length = len(self._part) + (end - self._codec.unit if end else len(data))
        # No block is longer than MAX_LINE, so of its lines only the first can be too long.
        if self._overlong or length > MAX_LINE:
            yield from self._append_overlong(data[:end] if end else data, ended=bool(end))
            data = data[end:] if end else b""
        data = self._part + data
        end = 0 if self._overlong else self._codec.after_last(data)
        if end:
            lines = self._lines + data[:end]
            self._part = data[end:]
            ready = self._codec.boundary(lines, self._boundary)
            if not ready and len(lines) >= CHUNK_BYTES - _LEAST_BYTES:
                ready = len(lines)  # an entry without end is handed out in pieces
            self._lines = lines[ready:]
            if ready:
                yield self._chunk(self._codec.to_utf8(lines[:ready]), ready)
        else:
            self._part = data

    def _append_overlong(self, line: bytes, *, ended: bool) -> Iterator[Chunk]:
        if not self._overlong:
            yield from self._hand_out_lines()
            self._overlong = True
            self._waiting_since = self._clock()
        text = line[: len(line) - self._codec.unit] if ended else line
        kept = text[: MAX_LINE - len(self._part)]
        self._part += kept
        self._left_out += len(text) - len(kept)
        if ended:
            yield self._cut(ended=True)

    def _cut(self, *, ended: bool) -> Chunk:
        """The line that is too long, what was left out of it only counted."""
        part, left_out = self._part, self._left_out
        taken = len(part) + left_out + (self._codec.unit if ended else 0)
        self._overlong, self._part, self._left_out = False, b"", 0
        note = f" …[cut by agentd: {left_out} bytes left out]\n"
        return self._chunk(self._codec.to_utf8(part) + note.encode(), taken, cut=left_out)

    def _discard(self, taken: int, *, ended: bool) -> Chunk:
        """The rest of a line that was handed out already, cut."""
        self._discarding = not ended
        return self._chunk(b"", taken, cut=taken - (self._codec.unit if ended else 0))

    def _hand_out_lines(self) -> Iterator[Chunk]:
        lines, self._lines = self._lines, b""
        if lines:
            yield self._chunk(self._codec.to_utf8(lines), len(lines))

    def _chunk(self, data: bytes, taken: int, cut: int = 0) -> Chunk:
        start, skipped = self._offset + self._nuls, self._nuls
        self._offset, self._nuls = start + taken, 0
        if not start:
            data = data.removeprefix(_BOM)
        return Chunk(
            *(self._mark.path, start, data, self._mark_at(self._offset)),
            cut=cut,
            skipped=skipped,
            modified=self._modified,
        )

    def _mark_at(self, offset: int) -> Mark:
        return replace(self._mark, offset=offset, crc=zlib.crc32(self._beginning[:offset]))
