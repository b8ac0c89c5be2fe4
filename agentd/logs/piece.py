"""One chunk, taken apart into entries and their keys: what an entry is without its numbers.

Done for a whole chunk at once, because that is what makes it fast. What the entries mean is not known here.
"""

from collections.abc import Sequence
from itertools import accumulate

from agentd.logs.chunk import Chunk
from agentd.logs.entries import Rule, summary
from agentd.logs.headers import Format
from agentd.logs.profile import EXAMPLE_CHARACTERS, Example
from agentd.logs.slots import NUMBER


class Piece:
    """One chunk, taken apart."""

    def __init__(self, chunk: Chunk, rule: Rule) -> None:
        self.file = chunk.source
        self._offset = chunk.offset
        self._cursors = chunk.cursors
        self._raw = chunk.data.split(b"\n")
        text = chunk.data.decode("utf-8", "replace")
        lines = (text.replace("\r\n", "\n") if "\r\n" in text else text).split("\n")
        if not lines[-1]:
            lines.pop()
        self.lines = len(lines)
        self.starts: Sequence[int] = rule.group(lines)
        if len(self.starts) == len(lines):
            self.heads = lines
        else:
            ends = [*self.starts[1:], len(lines)]
            self.heads = [
                lines[start] if end == start + 1 else summary(lines[start:end])
                for start, end in zip(self.starts, ends, strict=True)
            ]
        self._offsets: list[int] | None = None

    def example(self, entry: int) -> Example:
        """An entry as an example; where lines begin is told once somebody asks."""
        if self._offsets is None:
            self._offsets = list(accumulate((len(line) + 1 for line in self._raw), initial=self._offset))
        if len(self._cursors) == len(self.starts):
            return Example(f"{self.file} {self._cursors[entry]}", 0, self.heads[entry][:EXAMPLE_CHARACTERS])
        return Example(self.file, self._offsets[self.starts[entry]], self.heads[entry][:EXAMPLE_CHARACTERS])


def keys_of(heads: list[str], written: Format) -> list[str]:
    """What an entry is without its numbers; its level first, where that is a number itself."""
    keys = NUMBER.sub("0", "\n".join(heads)).split("\n")
    if written.level_in_digits:
        levels = ((header.level if (header := written.parse(head)) else "") for head in heads)
        keys = [f"{level} {key}" for level, key in zip(levels, keys, strict=True)]
    return keys
