"""Times: each shape tells its minute, and a missing year comes from the neighbours."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from agentd.logs.times import Clock, first_year, moment, stamp_in


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def read(clock: Clock, stamp: str) -> str:
    minute = clock.minute(stamp)
    return "" if minute is None else f"{moment(minute):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("2026-03-01 10:15:30,123", "2026-03-01 10:15"),
        ("2026-03-01T10:15:30Z", "2026-03-01 10:15"),
        ("2026/03/01 10:15:30", "2026-03-01 10:15"),
        ("2026-03-01T10:15:30.5+02:00", "2026-03-01 08:15"),
        ("2026-03-01 10:15:30 -0330", "2026-03-01 13:45"),
        ("01.03.2026 10:15:30", "2026-03-01 10:15"),
        ("17/06/09 20:10:40", "2017-06-09 20:10"),
        ("081109 203615", "2008-11-09 20:36"),
        ("10/Oct/2025:13:55:36 -0700", "2025-10-10 20:55"),
        ("Sun Dec 04 04:51:08 2005", "2005-12-04 04:51"),
        ("1767225720.123", "2026-01-01 00:02"),
        ("1767225720123", "2026-01-01 00:02"),
    ],
)
def test_a_time_tells_its_minute(text: str, minute: str) -> None:
    assert read(Clock(at(2026, 6, 1), zone=UTC), stamp_in(text)) == minute


@pytest.mark.parametrize(
    "stamp", ["", "nonsense", "2026-02-30 10:00", "2026-13-01 10:00", "Feb 31 10:00", "2026-03-01 29:00"]
)
def test_what_cannot_be_a_time_has_no_minute(stamp: str) -> None:
    clock = Clock(at(2026, 6, 1), zone=UTC)
    assert (clock.minute(stamp), clock.minute(stamp)) == (None, None)


def test_a_stamp_without_a_zone_is_in_that_of_the_log() -> None:
    assert read(Clock(at(2026, 6, 1), zone=timezone(timedelta(hours=2))), "2026-03-01 10:15") == "2026-03-01 08:15"


@pytest.mark.parametrize(
    ("written", "stamp", "minute"),
    [
        (at(2026, 1, 2), "Dec 31 23:59", "2025-12-31 23:59"),
        (at(2026, 1, 2), "Jan  1 00:00", "2026-01-01 00:00"),
        (at(2026, 3, 1), "Feb 29 12:00", "2024-02-29 12:00"),
        (at(2026, 12, 31, 23, 30), "Jan  1 00:10", "2027-01-01 00:10"),
    ],
)
def test_the_first_year_is_the_newest_that_the_file_allows(written: float, stamp: str, minute: str) -> None:
    assert read(Clock(written, zone=UTC), stamp) == minute


def test_new_year_turns_the_year_and_a_late_line_turns_it_back() -> None:
    clock = Clock(at(2026, 1, 2), zone=UTC)
    days = ["Dec 31 23:59", "Jan  1 00:00", "Dec 31 23:58", "Jan  1 00:01"]
    assert [read(clock, stamp)[:4] for stamp in days] == ["2025", "2026", "2025", "2026"]


def test_months_of_silence_are_no_step_back() -> None:
    clock = Clock(at(2026, 1, 10), zone=UTC)
    assert read(clock, "Jan  9 10:00") == "2026-01-09 10:00"
    clock.latest = at(2026, 11, 20)
    assert read(clock, "Nov 20 10:00") == "2026-11-20 10:00"


def test_the_same_stamp_a_year_later_is_another_minute() -> None:
    clock = Clock(at(2026, 3, 5), year=2025, zone=UTC)
    stamps = ["Mar  1 10:00", "Jul  1 10:00", "Dec 30 10:00", "Jan  2 10:00", "Mar  1 10:00"]
    assert [read(clock, stamp)[:4] for stamp in stamps] == ["2025", "2025", "2025", "2026", "2026"]


def test_the_first_year_of_a_long_log_counts_its_new_years(tmp_path: Path) -> None:
    log = tmp_path / "messages"
    day = datetime(2023, 7, 1)
    with log.open("w") as file:
        while day < datetime(2026, 2, 1):
            file.write(f"{day:%b %e} 10:00:00 nas kernel: a line of the log that is long enough to be one\n" * 20)
            day += timedelta(days=3)
    assert first_year(log, at(2026, 2, 1)) == 2023


@pytest.mark.parametrize("text", ["", "2026-03-01 10:00:00 a line\n", "no times here\n"])
def test_a_log_that_has_its_years_or_no_times_needs_no_first_year(tmp_path: Path, text: str) -> None:
    log = tmp_path / "app.log"
    log.write_text(text)
    assert first_year(log, log.stat().st_mtime) is None
