"""From the text of a time to its minute: a cache in front, arithmetic behind, and the year where nobody wrote it.

A stamp is what tells a line's minute: the part of its time before the seconds and, where it matters, what stands
behind them (a zone, or the year). Shapes of stamps are written with strptime's letters. Where on a line a stamp
stands is not known here.
"""

import calendar
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import islice, pairwise
from pathlib import Path

_DAY_SECONDS = 86_400
# Back by more days than this is a New Year. Back over a New Year by fewer than that is a line out of order.
_HALF_A_YEAR = 183
_OUT_OF_ORDER = 7
_LEAP_YEAR = 2024  # any: days are compared as if every year had 366
_MOST_CACHED = 10_000  # a minute each: a week of a log that never sleeps
_SAMPLES = 64
_SAMPLE_BYTES = 4096

# Not `calendar.month_abbr`, which speaks the language of whoever asks.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LETTER = re.compile("%([A-Za-z])")
_DIGITS = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "b": r"[A-Z][a-z][a-z]",
    "m": r"\d\d",
    "d": r"\d\d",
    "e": r"[ \d]\d",
    "H": r"[0-2]\d",
    "M": r"[0-5]\d",
    "s": r"\d{9}",  # tens of seconds since 1970
    "z": r"(?: ?(?:Z|UTC|GMT)\b|[+-]\d\d(?::?\d\d)?\b| [+-]\d\d:?\d\d\b)?",
    "Z": r"(?:Z|[+-]\d\d:\d\d)",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write a time, in strptime's letters."""

    minute: str
    after: str = ""  # what else a stamp takes along, from behind the seconds
    seconds: str = r":?\d\d(?:[.,]\d{1,9})?"

    def in_line(self, *others: "Shape") -> str:
        """A regex for the whole time in this shape or others alike, with the groups `minute` and `after`."""
        minutes = "|".join(_plain(shape.minute) for shape in (self, *others))
        return f"(?P<minute>{minutes}){self.seconds}(?P<after>{_plain(self.after)})"

    def stamp(self) -> re.Pattern[str]:
        """What reads a stamp in this shape: a group for each letter."""
        return re.compile(
            _LETTER.sub(lambda found: f"(?P<{found[1]}>{_DIGITS[found[1]]})", self.minute + self.after)
        )


def _plain(shape: str) -> str:
    return _LETTER.sub(lambda found: _DIGITS[found[1]], shape)


ISO = Shape("%Y[-/]%m[-/]%d[T ]%H:%M", after="%z")
RFC3339 = Shape("%Y-%m-%dT%H:%M", after="%Z")  # one way to write ISO, which reads its stamps too
DOTTED = Shape(r"%d\.%m\.%Y %H:%M", after="%z")
SHORT = Shape("%y/%m/%d %H:%M", after="%z")
COMPACT = Shape("%y%m%d %H%M", after="%z")
COMMON = Shape("%d/%b/%Y:%H:%M", after="%z")
CTIME = Shape("%b %e %H:%M", after=" %Y")
SYSLOG = Shape("%b %e %H:%M")
GLOG = Shape("%m%d %H:%M")
LOGCAT = Shape("%m-%d %H:%M")
# Nine digits of the seconds since 1970 change every ten seconds, and six times ten make a minute.
EPOCH = Shape(r"\b%s", seconds=r"\d(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?\b")

# The particular before the general: a stamp with a year behind it begins like one without.
_SHAPES = (ISO, CTIME, SYSLOG, COMMON, DOTTED, SHORT, COMPACT, LOGCAT, GLOG, EPOCH)
_STAMPS = tuple(shape.stamp() for shape in _SHAPES)
_IN_TEXT = tuple(re.compile(shape.in_line()) for shape in _SHAPES)
_YEARLESS = re.compile(
    rf"^(?:<\d{{1,3}}>|[IWEF](?=\d{{4}} ))?{SYSLOG.in_line(GLOG, LOGCAT)}".encode(), re.MULTILINE
)


def stamp_in(text: str) -> str:
    """The stamp of the first time in `text`, in any of the shapes; "" where there is none."""
    found = next((found for shape in _IN_TEXT if (found := shape.search(text))), None)
    return found["minute"] + found["after"] if found else ""


def moment(minute: int) -> datetime:
    """The beginning of a minute, counted from 1970 in UTC."""
    return datetime.fromtimestamp(minute * 60, UTC)


class Clock:
    """Reads the stamps of one log, in the order in which they stand there.

    A stamp without a zone is in `zone`, by default the zone of this machine; the hour that comes twice in autumn
    is taken for the first of the two. A stamp without a year has that of its neighbours: the first one is in
    `year`, or else the newest that is not later than a day after `latest`, the time in seconds since 1970 when
    the log was last written. Raise `latest` with what is read: then months of silence are not taken for a step
    back.
    """

    def __init__(self, latest: float, year: int | None = None, zone: tzinfo | None = None) -> None:
        self.latest = latest
        self._zone = zone
        self._minutes: dict[str, int | None] = {}
        self._first_year = year
        self._last: tuple[int, date] | None = None  # the year of the last stamp without one, and its day

    @property
    def last(self) -> tuple[int, int, int] | None:
        """Year, month and day of the last stamp without a year: what `resume` wants."""
        return None if self._last is None else (self._last[0], self._last[1].month, self._last[1].day)

    def resume(self, year: int, month: int, day: int) -> None:
        """Go on as after a stamp of that day."""
        self._last = year, date(_LEAP_YEAR, month, day)

    def minute(self, stamp: str) -> int | None:
        """The minute of a stamp, counted from 1970 in UTC; None where it cannot be a time."""
        try:
            return self._minutes[stamp]
        except KeyError:
            minute = self._read(stamp)
            if len(self._minutes) >= _MOST_CACHED:
                self._minutes.clear()
            self._minutes[stamp] = minute
            return minute

    def _read(self, stamp: str) -> int | None:
        fields = _fields(stamp)
        if not fields:
            return None
        if "s" in fields:
            return int(fields["s"]) // 6
        try:
            zone = _zone(fields["z"]) if fields.get("z") else self._zone
            day = _day(fields)
            year = _written_year(fields)
            if year is None:
                year = self._guess(day)
            when = datetime(year, day.month, day.day, int(fields["H"]), int(fields["M"]), tzinfo=zone)
            # `timestamp` takes a moment without a zone for one of this machine's.
            return int(when.timestamp() // 60)
        except (ValueError, OverflowError):
            return None  # no such day, hour or zone

    def _guess(self, day: date) -> int:
        """The year of a day that was told without one."""
        if self._last is None:
            year = _newest_year(day, self._limit()) if self._first_year is None else self._first_year
        else:
            year, before = self._last
            year += _turn(before, day)
            if (day - before).days > _HALF_A_YEAR and year > _newest_year(day, self._limit()):
                year -= 1  # back in the old year, from a clock that had gone ahead
            if day.month != before.month:
                self._minutes.clear()  # a year later the same stamp is another minute
        self._last = year, day
        return year

    def _limit(self) -> date:
        return datetime.fromtimestamp(self.latest + _DAY_SECONDS, self._zone).date()


def first_year(path: Path, latest: float) -> int | None:
    """The year of the first line of a file whose stamps lack it; None if they do not, or there are none.

    The New Years are counted between samples all over the file, back from `latest` (seconds since 1970), when it
    was written last. Raises OSError where it cannot be read.
    """
    days = list(_sampled_days(path))
    if not days:
        return None
    new_years = sum(_turn(before, day) for before, day in pairwise(days))
    limit = datetime.fromtimestamp(latest + _DAY_SECONDS, UTC).date()
    return _newest_year(days[-1], limit) - new_years


def _sampled_days(path: Path) -> Iterator[date]:
    """The days of lines all over a file, in their order; the first and the last are among them."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for place in range(_SAMPLES):
            start = size * place // _SAMPLES
            file.seek(start)
            data = file.read(_SAMPLE_BYTES)
            # But for the first, a sample begins somewhere within a line.
            yield from islice(_days(data if start == 0 else data.partition(b"\n")[2]), 1)
        file.seek(max(size - _SAMPLE_BYTES, 0))
        yield from list(_days(file.read()))[-1:]


def _days(data: bytes) -> Iterator[date]:
    for found in _YEARLESS.finditer(data):
        # What only looks like a day is no reason to give up.
        with contextlib.suppress(ValueError):
            yield _day(_fields(found["minute"].decode()))


def _fields(stamp: str) -> dict[str, str]:
    """What a stamp says, by strptime's letters; nothing where it has no known shape."""
    found = next((found for shape in _STAMPS if (found := shape.fullmatch(stamp))), None)
    return found.groupdict() if found else {}


def _day(fields: dict[str, str]) -> date:
    """The day of the year, in one that has them all. Raises ValueError where there is no such day."""
    month = _MONTHS.index(fields["b"]) + 1 if "b" in fields else int(fields["m"])
    return date(_LEAP_YEAR, month, int(fields["e"] if "e" in fields else fields["d"]))


def _turn(before: date, day: date) -> int:
    """How the year changes from one line's day to that of the next: 1 is a New Year, -1 a line from before it."""
    days = (day - before).days
    if days < -_HALF_A_YEAR:
        return 1
    return -1 if days > 366 - _OUT_OF_ORDER else 0


def _newest_year(day: date, limit: date) -> int:
    """The last year in which there was such a day up to `limit`."""
    year = limit.year - ((day.month, day.day) > (limit.month, limit.day))
    while (day.month, day.day) == (2, 29) and not calendar.isleap(year):
        year -= 1
    return year


def _written_year(fields: dict[str, str]) -> int | None:
    if "Y" in fields:
        return int(fields["Y"])
    return _full_year(int(fields["y"])) if "y" in fields else None


def _full_year(year: int) -> int:
    """Two digits as POSIX reads them: 69 is 1969, 68 is 2068."""
    return year + (2000 if year < 69 else 1900)


def _zone(text: str) -> tzinfo:
    digits = text.strip().replace(":", "")
    if digits[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5] or 0))
    return timezone(-offset if digits[0] == "-" else offset)
