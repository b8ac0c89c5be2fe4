"""What following hands on: a piece of a log, and where reading stands once that piece is kept.

A chunk holds whole entries only. Whoever keeps what was learned from it stores its mark in the same transaction:
then no line is lost and none is counted twice. Patterns and the database are not known here.
"""

from dataclasses import dataclass

from agentd.records import Mark

# About as much as is learned, and committed, at a time.
CHUNK_BYTES = 1024 * 1024
# A longer line is cut there and says so.
MAX_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one log, read at once."""

    source: str  # the file's path, or "journal"
    offset: int  # of its first byte in the file
    data: bytes  # whole entries, lines end with b"\n"; a cut line stands alone in its chunk
    mark: Mark | str  # where reading stands after it: of a file, or the journal's cursor
    cut: int = 0  # bytes that were left out of its only line
    skipped: int = 0  # NUL bytes before it that no writer meant
    cursors: tuple[str, ...] = ()  # of the journal, for each entry
    modified: float = 0.0  # when the file was last written, seconds since 1970: tells the year of old stamps
