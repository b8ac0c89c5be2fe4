"""How often one pattern came, over time, in a few numbers: enough to tell what is usual for it.

Times are minutes since 1970, UTC, of the log itself and not of a clock on the wall, so that an old log read today
gives the same answer as the same log followed then. What is remarkable about the numbers, `news` knows.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

WINDOW = 10  # minutes; a rate is a count in one window
DAY = 24 * 60
# Entries closer together than this belong to one visit: a nightly job that writes twelve lines came once.
VISIT_GAP = 3 * 60
# A visit is as punctual as cron when it comes a whole number of days after the one before, give or take this.
PUNCTUAL = 90


@dataclass(slots=True)
class Moments:
    """Count, mean and spread of a series, without keeping it (Welford 1962)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    peak: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)
        self.peak = max(self.peak, value)

    @property
    def deviation(self) -> float:
        """The standard deviation; 0 for fewer than two values."""
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else 0.0


@dataclass(slots=True)
class Burst:
    """A window in which a pattern came far more often than it used to."""

    minute: int  # when the window began
    count: int  # entries in it
    usual: float  # entries in a window in which it came at all


@dataclass(slots=True)
class History:
    """The past of one pattern."""

    first: int | None = None
    last: int | None = None
    count: int = 0  # entries whose time is known
    window: int = 0  # the one that is still open
    in_window: int = 0
    before: int = 0  # entries in the closed window before it, which is not among `windows` yet
    windows: Moments = field(default_factory=Moments)  # entries in the windows before that
    gaps: Moments = field(default_factory=Moments)  # minutes between minutes it came in
    visit: int = 0  # when the last visit began
    visits: int = 0
    punctual: int = 0  # visits that came a whole number of days after the one before
    in_visit: int = 0
    largest_visit: int = 0  # of those that ended
    returned: int = 0  # the longest pause it came back from, in minutes
    returned_at: int = 0
    burst: Burst | None = None  # the largest so far, by its multiple of the usual

    def add(self, minute: int, count: int) -> None:
        """Note that the pattern came `count` times in this minute. Minutes come in order, or nearly so."""
        self.count += count
        if self.last is None:
            self.first, self.last, self.window, self.in_window = minute, minute, minute // WINDOW, count
            self.visit, self.visits, self.in_visit = minute, 1, count
            return
        gap = minute - self.last
        if gap > 0:
            self.gaps.add(gap)
            self._arrive(minute, gap)
            self.last = minute
        window = minute // WINDOW
        if window > self.window:
            # One window late: what begins at the end of one is not what is usual in the next.
            if self.before:
                self.windows.add(self.before)
            self.window, self.before, self.in_window = window, self.in_window, 0
        self.in_window += count
        self.in_visit += count

    def _arrive(self, minute: int, gap: int) -> None:
        if gap < VISIT_GAP:
            return
        since = minute - self.visit
        off = since % DAY
        if since > DAY - PUNCTUAL and min(off, DAY - off) <= PUNCTUAL:
            self.punctual += 1
        self.largest_visit = max(self.largest_visit, self.in_visit)
        self.visits += 1
        self.visit, self.in_visit = minute, 0
        if gap > self.returned:
            self.returned, self.returned_at = gap, minute

    def merge(self, other: "History") -> None:
        """Take over the past of a pattern that turned out to be this one; the longer one decides what is usual."""
        if other.last is None:
            return
        if self.count < other.count:
            kept = History(**{name: getattr(self, name) for name in self.__slots__})
            for name in self.__slots__:
                setattr(self, name, getattr(other, name))
            other = kept
        if self.first is None or self.last is None or other.first is None or other.last is None:
            return
        self.count += other.count
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)

    def to_json(self) -> dict[str, object]:
        """As the store keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> "History":
        """As the store kept it."""
        values = dict(stored)
        for name in ("windows", "gaps"):
            values[name] = Moments(**values[name])  # type: ignore[arg-type]
        if values["burst"] is not None:
            values["burst"] = Burst(**values["burst"])  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]
