"""The values that stood where a pattern has wildcards: which, and how often.

Counts are exact until a place has held more than MAX_VALUES different ones, or its pattern was met more often than
is looked at; from then on they are marked approximate. Which lines are looked at is decided by the caller.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# 345 hosts that try passwords in nine months are still counted one by one.
MAX_VALUES = 1000
KEPT_VALUES = 100
# Where nearly every value is another one it is an id, and no summary of ids says anything.
ID_SHARE = 0.8

_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|(?=.*:.*:)[0-9a-fA-F:]{3,39}")


@dataclass(slots=True)
class Values:
    """The values of one variable of a pattern."""

    label: str  # the word before it
    counts: dict[str, int] = field(default_factory=dict)
    exact: bool = True
    ids: bool = False  # nearly every value is another one: not counted any more

    def add(self, found: Iterable[tuple[str, int]], weight: int = 1) -> None:
        """Count values; a `weight` above 1 says that only one of so many was looked at."""
        if self.ids:
            return
        counts = self.counts
        if weight > 1:
            self.exact = False
        for value, count in found:
            counts[value] = counts.get(value, 0) + count * weight
        if len(counts) > MAX_VALUES:
            self.exact = False
            if len(counts) > ID_SHARE * sum(counts.values()):
                self.ids = True
                counts.clear()
            else:
                self.trim(KEPT_VALUES)

    def trim(self, number: int) -> None:
        """Keep the most frequent values alone, so many of them."""
        if len(self.counts) > number:
            self.exact = False
            self.counts = dict(self.top(number))

    def merge(self, other: "Values") -> None:
        """Take over what another pattern's variable held."""
        self.exact = self.exact and other.exact
        self.ids = self.ids or other.ids
        self.add(other.counts.items())

    def top(self, number: int) -> list[tuple[str, int]]:
        """The most frequent values, equal ones by name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    @property
    def distinct(self) -> int:
        """How many different values were seen; at least so many where they are not exact."""
        return len(self.counts)

    @property
    def addresses(self) -> bool:
        """Whether these are network addresses."""
        some = self.top(5)
        return bool(some) and all(_ADDRESS.fullmatch(value) for value, _ in some)

    def to_json(self) -> dict[str, object]:
        """As the store keeps it."""
        return {"label": self.label, "counts": self.counts, "exact": self.exact, "ids": self.ids}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> "Values":
        """As the store kept it."""
        counts = stored["counts"]
        assert isinstance(counts, dict)
        return cls(str(stored["label"]), counts, bool(stored["exact"]), bool(stored["ids"]))


def bare(word: str) -> str:
    """A value without the punctuation around it."""
    return word.rstrip(".:,;").strip("\"'()[]{}<>,;").rstrip(".:")
