"""Cut a text into passages: pieces small enough to be shown to a model as excerpts, each with its line.

A passage ends at a blank line once it is long enough, or where it would grow too long; nothing is lost and
nothing repeated, so the passages together are the text.
"""

import re
from collections.abc import Iterator

from agentd.records import Passage

ENOUGH = 300  # characters: about 75 tokens, a paragraph
MOST = 700  # characters


def split_passages(text: str, first_line: int = 1) -> Iterator[Passage]:
    """The passages of `text`, whose first line is line `first_line` of its file."""
    kept: list[str] = []
    length, start = 0, first_line
    for number, line in enumerate(split_lines(text), start=first_line):
        for piece in _pieces(line):
            if kept and length + len(piece) > MOST:
                yield Passage(start, "".join(kept))
                kept, length = [], 0
            if not kept:
                start = number
            kept.append(piece)
            length += len(piece)
        if not line.strip() and length >= ENOUGH:
            yield Passage(start, "".join(kept))
            kept, length = [], 0
    if kept:
        yield Passage(start, "".join(kept))


def split_lines(text: str) -> list[str]:
    """The lines of a text with their ends, as editors count them; `str.splitlines` ends some at form feeds too."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _pieces(line: str) -> Iterator[str]:
    """A line in pieces of at most `MOST` characters, cut at spaces where there are any."""
    while len(line) > MOST:
        cut = line.rfind(" ", MOST // 2, MOST) + 1 or MOST
        yield line[:cut]
        line = line[cut:]
    yield line
