"""Hours: a part of every day by the clock on the wall, such as `22:00-06:00`. What for, is not known here."""

import re
from dataclasses import dataclass
from datetime import datetime, time

_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` to `end`, which does not belong to it; it may go over midnight."""

    begin: time
    end: time

    def __contains__(self, moment: time) -> bool:
        if self.begin < self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def minutes_until(self, now: datetime) -> int:
        """Minutes from what the clock shows now until it begins the next time."""
        return (self.begin.hour * 60 + self.begin.minute - now.hour * 60 - now.minute) % (24 * 60)


def parse_hours(value: object) -> Hours:
    """The hours of `22:00-06:00`; a day ends at 00:00 or 24:00. Raises `ValueError` for anything else."""
    match = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        hours = Hours(time(int(match[1]), int(match[2])), time(int(match[3]) % 24, int(match[4])))
        if int(match[3]) > 24 or (int(match[3]) == 24 and int(match[4])):
            raise ValueError
    except ValueError:
        raise ValueError(f'{value!r} are no hours: write them in quotes, like "22:00-06:00"') from None
    if hours.begin == hours.end:
        raise ValueError(f"{value!r} is the whole day, or none of it: leave it out")
    return hours
