"""Where the values of a pattern's variables stand in lines that differ in numbers alone.

Planned once for each key, so that the values of thousands of lines are found without taking a line apart.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agentd.logs.patterns import WILDCARD, Words, split_words
from agentd.logs.variables import bare

# What a key has a 0 for. Coarser than a variable of a pattern, and faster to find.
NUMBER = re.compile(r"\d[\w.:-]*")


@dataclass(slots=True)
class Slot:
    """Where a variable's values stand among the numbers of a line."""

    place: int  # of its word in the pattern
    label: str
    pieces: list[str]  # of the word, around its numbers
    first: int  # number of the line


def plan_slots(key: str, message: str, pattern: Words) -> list[Slot]:
    """Where the values of a pattern's variables stand in lines with this key.

    Nothing where the message does not stand in its line as it is, as in JSON with escapes.
    """
    masked = NUMBER.sub("0", message)
    at = key.rfind(masked)
    words = split_words(masked)
    if at < 0 or len(words) != len(pattern):
        return []
    number = key.count("0", 0, at)
    slots = []
    for place, word in enumerate(words):
        pieces = word.split("0")
        if WILDCARD in pattern[place]:
            slots.append(Slot(place, label_before(pattern, place), pieces, number))
        number += len(pieces) - 1
    return slots


@lru_cache(maxsize=8192)
def label_before(pattern: Words, place: int) -> str:
    """The plain word before a place."""
    return next((bare(word) for word in reversed(pattern[:place]) if WILDCARD not in word), "")


def values_of(slot: Slot, columns: Sequence[tuple[str, ...]], lines: int) -> Iterator[tuple[str, int]]:
    """The values in some lines with the same key, with how often; `columns` are their numbers, place by place."""
    numbers = len(slot.pieces) - 1
    if numbers == 0:
        yield bare(slot.pieces[0]), lines
    elif numbers == 1:
        before, after = slot.pieces
        for value, count in Counter(columns[slot.first]).items():
            yield bare(before + value + after), count
    else:
        for values, count in Counter(zip(*columns[slot.first : slot.first + numbers], strict=True)).items():
            between = [text for pair in zip(slot.pieces, values, strict=False) for text in pair]
            yield bare("".join(between) + slot.pieces[-1]), count
