"""One reading of whole logs, from their beginnings to their ends, into one digest.

Nothing is followed and nothing lasts: what was read is told once. What deserves a look, models and the database
are not known here.
"""

import math
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import NotText
from agentd.logs.chunk import Chunk
from agentd.logs.content import identity_of, open_content
from agentd.logs.digest import Digest
from agentd.logs.entries import Rule
from agentd.logs.headers import recognise
from agentd.logs.tail import Tail
from agentd.logs.times import Clock, first_year
from agentd.records import Mark, source_of

_BEGINNING = 16 * 1024  # bytes that tell whether it is text, and when it begins
_MOST_NOISE = 0.3  # the share of characters of a text that are none
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file that can be read as a log."""

    path: Path
    size: int  # bytes on disk
    encoding: str
    first: float  # the minute of its first line; infinite where that has no time

    def chunks(self, rule: Rule, read: Callable[[int], None]) -> Iterator[Chunk]:
        """The whole text, in chunks; `read` is told how many bytes of the file each took.

        Raises Unreadable in the middle of a compressed file that is damaged.
        """
        content = open_content(self.path)
        status = content.status()
        mark = Mark(source_of(self.path), *identity_of(status), offset=0, crc=0)
        tail = Tail(content, mark, encoding=self.encoding, boundary=rule.boundary, flush=0)
        told = 0
        try:
            for chunk in tail.read(None, status.st_mtime):
                yield chunk
                position = content.consumed
                read(position - told)
                told = position
            yield from tail.release(at_once=True)
        finally:
            tail.close()
        read(self.size - told)


def look_at(path: Path, encoding: str = "utf-8") -> ScannedFile:
    """Find out what kind of log a file is. Raises InputError where it is none."""
    content = open_content(path)
    try:
        beginning = content.read_at(0, _BEGINNING)
        status = content.status()
    finally:
        content.close()
    if beginning.startswith(_BYTE_ORDER_MARKS):
        encoding = "utf-16"
    text = beginning.replace(b"\0", b"").decode("utf-8", "replace") if encoding == "utf-8" else ""
    noise = sum(letter == "\ufffd" or not (letter.isprintable() or letter.isspace()) for letter in text)
    # Colours and a few odd bytes stand in many logs.
    if noise > _MOST_NOISE * len(text):
        raise NotText(f"{path} is not text", hint=f"file {shlex.quote(os.fspath(path))}")
    return ScannedFile(path, status.st_size, encoding, _first_minute(path, text, status.st_mtime))


def scan(
    files: Sequence[ScannedFile], digest: Digest, rule: Rule, read: Callable[[int], None] = lambda _: None
) -> None:
    """Read files into a digest, the one that begins first before the others. Raises InputError, ConfigError."""
    for file in sorted(files, key=lambda file: file.first):
        for chunk in file.chunks(rule, read):
            digest.learn(chunk)


def _first_minute(path: Path, beginning: str, modified: float) -> float:
    lines = beginning.split("\n")[:-1]
    written = recognise(lines)
    clock = Clock(modified, first_year(path, modified), None)
    minutes = (clock.minute(stamp) for stamp in written.stamps(lines))
    return next((minute for minute in minutes if minute is not None), math.inf)
