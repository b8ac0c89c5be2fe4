"""When a schedule is due, through changes of the clock, sleep and downtime. Arithmetic alone, and no memory.

Times of the day are reckoned as they stand on the clock, each once, and only then become moments: one that the
clock leaves out (02:30 on a spring night) comes as much later as the clock went forward (03:30), one that it shows
twice comes the first time alone. What a schedule is for is not known here. The only importer of apscheduler.
"""

import hashlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

MISSED = timedelta(minutes=1)  # later than that, a firing was missed: we slept, or did not run

_DAY = timedelta(days=1)
_BACK = (timedelta(hours=2), 2 * _DAY, 62 * _DAY, 10_000 * _DAY)  # how far to look for the last that was missed
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (("minute", "0-9"), ("hour", "0-9"), ("day", "0-9"), ("month", "0-9a-z"), ("weekday", "0-9a-z"))
_SOME_YEARS = {"start_date": "2024-01-01", "end_date": "2040-01-01"}  # with every day there is
_AT = re.compile(r"(?:(\d{4}-\d\d-\d\d)[ T])?(\d{1,2}:\d\d)(?::00)?")
_LIKE = 'write it like "0 7 * * 1-5": minute, hour, day of the month, month, day of the week'


class Times(Protocol):
    """What is due after what."""

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after this one; None where none comes any more."""


@dataclass(frozen=True, slots=True)
class Every:
    """So much time after the last one, whatever the clock does."""

    pause: timedelta

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after this one."""
        return moment + self.pause


@dataclass(frozen=True, slots=True)
class Once:
    """One time of one day."""

    day_and_time: datetime  # as the clock shows it
    zone: ZoneInfo | None  # None for this machine's

    def after(self, moment: datetime) -> datetime | None:
        """That moment, if it is still to come."""
        found = _moment(self.day_and_time, self.zone)
        return found if found > moment else None


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of the day, on the days that any of these patterns means."""

    patterns: tuple[CronTrigger, ...]
    zone: ZoneInfo | None  # None for this machine's

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after this one."""
        found: datetime | None = None
        for shown in self._shown(moment):
            # What the clock left out comes later than it says: what it shows then may come before it.
            if found is not None and shown > _shown_at(found, self.zone):
                break
            one = _moment(shown, self.zone)
            if one > moment and (found is None or one < found):
                found = one
        return found

    def _shown(self, moment: datetime) -> Iterator[datetime]:
        """The times that the clock shows, or would have shown, from this moment on."""
        forward = max(_offset(moment, self.zone) - _offset(moment - _DAY, self.zone), timedelta(0))
        start = _shown_at(moment, self.zone) - forward
        while True:
            # As if it were UTC, which leaves nothing out and shows nothing twice.
            aware = start.replace(tzinfo=UTC)
            coming = [one for pattern in self.patterns if (one := pattern.get_next_fire_time(None, aware))]
            if not coming:
                return
            shown = min(coming).replace(tzinfo=None)
            yield shown
            start = shown + timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A firing whose time has come; the last of those that were missed stands for all of them."""

    moment: datetime
    missed: bool  # its time has passed meanwhile, or that of others with it
    looked: datetime  # from when on to look for the next


@dataclass(frozen=True, slots=True)
class Timetable:
    """The firings of one schedule."""

    name: str
    times: Times
    zone: ZoneInfo | None
    jitter: timedelta = timedelta(0)

    def firing(self, moment: datetime) -> datetime:
        """When the firing of a moment takes place: later by chance, always by the same, and before the next."""
        if not self.jitter:
            return moment
        following = self.times.after(moment)
        most = min(self.jitter, following - moment) if following else self.jitter
        basis = f"{platform.node()} {self.name} {moment.isoformat()}"
        share = int.from_bytes(hashlib.sha256(basis.encode()).digest()[:4], "big") / 2**32
        return moment + timedelta(seconds=int(most.total_seconds() * share))

    def due(self, looked: datetime, now: datetime) -> Due | None:
        """What is to be fired now by someone who last looked then; one firing for all that were missed."""
        first = self.times.after(looked)
        if first is None or (firing := self.firing(first)) > now:
            return None
        second = self.times.after(first)
        if second is not None and self.firing(second) <= now:
            return Due(self._last(second, now), True, now)
        missed = now - firing > MISSED
        return Due(first, missed, now if missed else first)

    def _last(self, found: datetime, now: datetime) -> datetime:
        """The last moment whose firing has come by now; `found` is one such."""
        if isinstance(self.times, Every):
            return found + (now - found) // self.times.pause * self.times.pause
        for back in _BACK:
            # From the newest ones on: a year has half a million minutes.
            start = max(found, now - back)
            moment = self.times.after(start)
            last = None
            while moment is not None and self.firing(moment) <= now:
                last, moment = moment, self.times.after(moment)
            if last or start == found:
                return last or found
        return found

    def coming(self, looked: datetime, now: datetime) -> Iterator[datetime]:
        """The moments whose firings are still to come, in order."""
        moment = self.times.after(looked)
        if moment and self.firing(moment) <= now and not isinstance(self.times, Every):
            moment = self.times.after(now)
        while moment is not None:
            if self.firing(moment) > now:
                yield moment
            moment = self.times.after(moment)

    def shown(self, moment: datetime) -> datetime:
        """A moment on the clock of the schedule."""
        return moment.astimezone(self.zone)


def read_cron(text: str, zone: ZoneInfo | None) -> Clock:
    """The times of five fields as cron reads them, Sunday being 0 or 7; raises `ValueError`."""
    fields = _NAMED.get(text.strip().lower(), text).lower().split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(fields)} fields instead of five: {_LIKE}")
    for (name, letters), field in zip(_FIELDS, fields, strict=True):
        if not re.fullmatch(rf"[{letters}*,/-]+", field):
            raise ValueError(f"the {name} {field!r} is not known to cron: {_LIKE}")
    minute, hour, day, month, weekday = fields
    try:
        named = _weekdays(weekday)
        # Where days of the month and of the week are both given, cron takes either.
        either = not day.startswith("*") and not weekday.startswith("*")
        days = [(day, "*"), ("*", named)] if either else [(day, named)]
        given = [
            {"minute": minute, "hour": hour, "day": one, "month": month, "day_of_week": other}
            for one, other in days
        ]
        comes = [
            CronTrigger(**one, **_SOME_YEARS, timezone=UTC).get_next_fire_time(
                None, datetime(2024, 1, 1, tzinfo=UTC)
            )
            for one in given
        ]
        patterns = tuple(
            CronTrigger(**one, timezone=UTC) for one, first in zip(given, comes, strict=True) if first
        )
    except ValueError as wrong:
        raise ValueError(f"{text!r}: {str(wrong).rstrip('.')}: {_LIKE}") from wrong
    if not patterns:
        raise ValueError(f"{text!r} never comes: {_LIKE}")
    return Clock(patterns, zone)


def read_at(text: str, zone: ZoneInfo | None) -> Clock | Once:
    """The times of `18:00` (every day) or `2026-12-24 18:00` (once); raises `ValueError`."""
    match = _AT.fullmatch(text.strip())
    like = 'write it like "18:00" for every day or "2026-12-24 18:00" for once'
    try:
        if not match:
            raise ValueError("not a time")
        hour, minute = map(int, match[2].split(":"))
        found = time(hour, minute)
        if match[1]:
            return Once(datetime.combine(datetime.fromisoformat(match[1]), found), zone)
    except ValueError:
        raise ValueError(f"{text!r} is no time: {like}") from None
    return read_cron(f"{found.minute} {found.hour} * * *", zone)


def clock_change(moment: datetime, zone: ZoneInfo | None) -> timedelta:
    """By how much the clock goes forward on the day of a moment; negative where it goes back."""
    day = _shown_at(moment, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return _offset(_moment(day + _DAY, zone), zone) - _offset(_moment(day, zone), zone)


def _weekdays(field: str) -> str:
    """Days of the week by name: cron counts them from Sunday, apscheduler from Monday."""
    if field == "*":
        return field
    days = set[int]()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        low = _weekday(first)
        high = _weekday(last) if dash else 6 if step else low
        if high < low or (step and (not step.isdigit() or step == "0")):
            raise ValueError(f"the weekday {part!r} is none")
        days |= {day % 7 for day in range(low, high + 1, int(step or 1))}
    return ",".join(_WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text in _WEEKDAYS:
        return _WEEKDAYS.index(text)
    if not text.isdigit() or int(text) > len(_WEEKDAYS):
        raise ValueError(f"the weekday {text!r} is none: 0 to 7, or sun to sat")
    return int(text)


# Without a zone, Python asks the system, whose rules may change while we run.
def _moment(shown: datetime, zone: ZoneInfo | None) -> datetime:
    # `astimezone` would take a time that the clock leaves out for one by the later offset.
    return datetime.fromtimestamp(shown.replace(tzinfo=zone, fold=0).timestamp(), UTC)


def _shown_at(moment: datetime, zone: ZoneInfo | None) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(moment: datetime, zone: ZoneInfo | None) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
