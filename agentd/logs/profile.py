"""What is known about a pattern besides its words: when it came, how often, with which values, and where to look.

Pure bookkeeping: lines are read and patterns found by the digest, and what is remarkable is judged elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentd.logs.history import DAY, Burst, History
from agentd.logs.news import NewsSettings, find_burst
from agentd.logs.patterns import Pattern
from agentd.logs.slots import NUMBER
from agentd.logs.variables import Values

# The first, so many different ones, and the latest.
DISTINCT_EXAMPLES = 3
EXAMPLE_CHARACTERS = 500
# Places of a pattern whose values are counted: a line that is all numbers is a table, and nobody's summary.
MAX_PLACES = 12


@dataclass(frozen=True, slots=True)
class Example:
    """A line that shows a pattern, and where it stands."""

    file: str  # its path, or "journal" and the entry's cursor
    offset: int  # bytes; of the uncompressed text in a compressed file
    line: str  # its first EXAMPLE_CHARACTERS


@dataclass(slots=True)
class Profile:
    """All that is known about one pattern."""

    pattern: Pattern
    surprise: float = 0.0  # how surprising it was that it came up, 0 to 1: see `news.surprise_of_new`
    created: int | None = None  # minutes since 1970, as all times here; None where its lines have none
    changed: int | None = None  # when a plain word last turned out to be variable
    days: int = 0  # different ones on which it came
    today: int = -1  # the latest of them
    history: History = field(default_factory=History)
    values: dict[int, Values] = field(default_factory=dict)  # by the place of their word
    hosts: Values = field(default_factory=lambda: Values("host"))
    processes: Values = field(default_factory=lambda: Values("process"))
    files: dict[str, int] = field(default_factory=dict)  # entries in each
    examples: list[Example] = field(default_factory=list)
    latest: Example | None = None

    def came(self, minute: int | None, count: int, settings: NewsSettings) -> None:
        """Note entries of one minute; a burst is looked for while its window is open."""
        self.pattern.count += count
        if minute is None:
            return
        history = self.history
        history.add(minute, count)
        if minute // DAY != self.today:
            # Out of order over midnight counts one day twice at most.
            self.today = minute // DAY
            self.days += 1
        burst = find_burst(history, settings)
        if burst is not None and _size(burst) >= _size(history.burst):
            history.burst = burst

    def show(self, example: Example) -> None:
        """Keep a line that differs from those before it in more than numbers."""
        if len(self.examples) > DISTINCT_EXAMPLES:
            return
        key = NUMBER.sub("0", example.line)
        if all(NUMBER.sub("0", other.line) != key for other in self.examples):
            self.examples.append(example)

    def shown(self) -> list[Example]:
        """The examples in the order of the log: first, different ones, latest."""
        latest = [self.latest] if self.latest is not None and self.latest not in self.examples else []
        return [*self.examples, *latest]

    def holds(self, place: int, label: str, found: Iterable[tuple[str, int]], weight: int) -> None:
        """Count values of the variable at a place."""
        values = self.values.get(place)
        if values is None:
            if len(self.values) >= MAX_PLACES:
                return
            # Where it was one word so far, that word's own entries are not among the values.
            values = self.values[place] = Values(label, exact=self.changed is None)
        values.add(found, weight)

    def merge(self, other: "Profile") -> None:
        """Take over a pattern that turned out to be this one. Its count was added by the miner."""
        self.history.merge(other.history)
        self.days = max(self.days, other.days)
        self.today = max(self.today, other.today)
        for place, values in other.values.items():
            if place in self.values:
                self.values[place].merge(values)
        self.hosts.merge(other.hosts)
        self.processes.merge(other.processes)
        for file, count in other.files.items():
            self.files[file] = self.files.get(file, 0) + count
        for example in other.examples:
            self.show(example)


def _size(burst: Burst | None) -> float:
    return 0.0 if burst is None else burst.count / max(burst.usual, 0.1)
