"""When schedules are due, with clocks that step through the days on which they are changed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.triggers.schedule import Timetable, clock_change, read_at, read_cron
from agentd.triggers.schedule_settings import ScheduleSettings

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LOOK = MINUTE

# The days on which the clock goes forward and back, and the minute that it leaves out or shows twice.
SPRING = [(BERLIN, "2026-03-29"), (NEW_YORK, "2026-03-08")]
AUTUMN = [(BERLIN, "2026-10-25"), (NEW_YORK, "2026-11-01")]
CHANGES = SPRING + AUTUMN


def table(zone: ZoneInfo | None = UTC, **given: Any) -> Timetable:  # type: ignore[assignment]
    key = {} if zone in (None, UTC) else {"timezone": str(zone)}
    if zone is UTC:
        key = {"timezone": "UTC"}
    return ScheduleSettings.model_validate({"task": "digest", **key, **given}).timetable()


def day(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def fired(timetable: Timetable, moments: Iterator[datetime], looked: datetime) -> list[str]:
    """What somebody fires who looks at the clock at these moments, by the clock of the schedule."""
    found = []
    for now in moments:
        if due := timetable.due(looked, now):
            found.append(f"{timetable.shown(due.moment):%m-%d %H:%M}")
            looked = due.looked
    return found


def ticking(start: datetime, end: datetime, step: timedelta = LOOK) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


@pytest.mark.parametrize(("zone", "date"), CHANGES)
def test_on_the_day_of_a_change_a_daily_time_in_the_night_comes_once(zone: ZoneInfo, date: str) -> None:
    timetable = table(zone, cron="30 2 * * *" if zone is BERLIN else "30 1 * * *")
    start = day(date, zone) - DAY
    found = fired(timetable, ticking(start, start + 3 * DAY), start)
    assert [one[:5] for one in found] == [f"{start + n * DAY + HOUR * 12:%m-%d}" for n in range(3)]


@pytest.mark.parametrize(
    ("zone", "date", "cron", "shown"),
    [
        (BERLIN, "2026-03-29", "30 2 * * *", "03-29 03:30"),
        (NEW_YORK, "2026-03-08", "30 2 * * *", "03-08 03:30"),
        (BERLIN, "2026-10-25", "30 2 * * *", "10-25 02:30"),
        (NEW_YORK, "2026-11-01", "30 1 * * *", "11-01 01:30"),
    ],
)
def test_a_time_that_is_left_out_comes_as_much_later_and_one_that_is_shown_twice_comes_first(
    zone: ZoneInfo, date: str, cron: str, shown: str
) -> None:
    start = day(date, zone)
    moments = list(islice(table(zone, cron=cron).coming(start, start), 2))
    assert f"{moments[0].astimezone(zone):%m-%d %H:%M}" == shown
    # The first of two has the offset of the day's beginning.
    if (zone, date) in AUTUMN:
        assert moments[0].astimezone(zone).utcoffset() == start.astimezone(zone).utcoffset()
    assert moments[1].astimezone(zone).strftime("%H:%M") == f"0{cron[3]}:30"


@pytest.mark.parametrize(("zone", "date"), CHANGES)
def test_of_every_quarter_of_an_hour_each_that_the_clock_shows_comes_once(zone: ZoneInfo, date: str) -> None:
    start = day(date, zone)
    end = day(f"{datetime.fromisoformat(date) + DAY:%Y-%m-%d}", zone)
    found = fired(table(zone, cron="*/15 * * * *"), ticking(start, end), start - LOOK)
    shown = {f"{one.astimezone(zone):%m-%d %H:%M}" for one in ticking(start, end, 15 * MINUTE)}
    assert len(found) == len(set(found))
    assert set(found) == shown
    assert len(found) == (92 if (zone, date) in SPRING else 96)


@pytest.mark.parametrize(("zone", "date"), CHANGES)
def test_every_counts_time_and_not_what_the_clock_shows(zone: ZoneInfo, date: str) -> None:
    start = day(date, zone)
    found = fired(table(zone, every="1h"), ticking(start, start + DAY), start)
    assert len(found) == 23


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
@pytest.mark.parametrize("at", ["06:30", "07:00", "07:30"])
def test_a_clock_that_is_set_an_hour_off_and_right_again_fires_each_time_once(step: timedelta, at: str) -> None:
    start = datetime(2026, 5, 4, tzinfo=UTC)
    off = start + timedelta(hours=int(at[:2]), minutes=int(at[3:]))
    right = off + 3 * HOUR
    moments = [one + step if off <= one < right else one for one in ticking(start, start + DAY)]
    found = fired(table(cron="0 * * * *"), iter(moments), start)
    # One that the clock jumped over is caught up with the next.
    assert len(found) == len(set(found))
    assert set(found) <= {f"05-04 {hour:02}:00" for hour in range(1, 24)}
    assert len(found) >= 22
    assert fired(table(cron="0 7 * * *"), iter(moments), start) == ["05-04 07:00"]


def test_down_across_three_firings_is_one_run_and_then_all_is_as_ever() -> None:
    timetable = table(cron="0 * * * *")
    start = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
    due = timetable.due(start, start + 3 * HOUR)
    assert due
    assert (due.missed, due.looked) == (True, start + 3 * HOUR)
    assert timetable.due(due.looked, start + 3 * HOUR + MINUTE) is None
    assert fired(timetable, ticking(due.looked, due.looked + HOUR), due.looked) == ["05-04 13:00"]


def test_a_firing_in_time_was_not_missed_and_one_that_waited_for_a_sleeping_machine_was() -> None:
    timetable, start = table(cron="0 7 * * *"), datetime(2026, 5, 4, tzinfo=UTC)
    in_time = timetable.due(start, start + 7 * HOUR + LOOK)
    late = timetable.due(start, start + 7 * HOUR + 2 * MINUTE)
    assert in_time
    assert late
    assert (in_time.missed, late.missed) == (False, True)
    assert in_time.looked == start + 7 * HOUR


def test_every_keeps_its_pace_where_it_is_in_time_and_counts_anew_after_a_pause() -> None:
    timetable, start = table(every="10m"), datetime(2026, 5, 4, tzinfo=UTC)
    in_time = timetable.due(start, start + 10 * MINUTE + LOOK)
    assert in_time
    assert in_time.looked == start + 10 * MINUTE
    late = timetable.due(start, start + 25 * MINUTE)
    assert late
    assert next(timetable.coming(late.looked, late.looked)) == start + 35 * MINUTE


def test_once_is_once() -> None:
    timetable = table(BERLIN, at="2026-12-24 18:00")
    start = datetime(2026, 12, 1, tzinfo=UTC)
    assert list(timetable.coming(start, start)) == [datetime(2026, 12, 24, 17, tzinfo=UTC)]
    assert fired(timetable, ticking(start, start + 40 * DAY, HOUR), start) == ["12-24 18:00"]


@pytest.mark.parametrize("given", [{"cron": "*/10 * * * *"}, {"every": "10m"}, {"cron": "0 7 * * *"}])
def test_jitter_comes_later_always_by_the_same_and_never_past_the_next(given: dict[str, Any]) -> None:
    timetable, start = table(jitter="2h", **given), datetime(2026, 5, 4, tzinfo=UTC)
    moments = list(islice(timetable.coming(start, start), 50))
    firings = [timetable.firing(moment) for moment in moments]
    assert firings == sorted(set(firings))
    assert all(moment <= one < moment + 2 * HOUR for moment, one in zip(moments, firings, strict=True))
    assert all(one < moment for one, moment in zip(firings, moments[1:], strict=False))
    assert len({one - moment for moment, one in zip(moments, firings, strict=True)}) > 5, "by chance"
    assert firings == [table(jitter="2h", **given).firing(moment) for moment in moments]


@pytest.mark.parametrize(
    ("cron", "shown"),
    [
        ("0 7 * * 0", ["Sun 03 May 07:00", "Sun 10 May 07:00"]),
        ("0 7 * * 7", ["Sun 03 May 07:00", "Sun 10 May 07:00"]),
        ("0 7 * * 1-5", ["Fri 01 May 07:00", "Mon 04 May 07:00"]),
        ("0 7 * * fri-sat", ["Fri 01 May 07:00", "Sat 02 May 07:00"]),
        ("0 7 * * 5-7", ["Fri 01 May 07:00", "Sat 02 May 07:00", "Sun 03 May 07:00", "Fri 08 May 07:00"]),
        ("0 7 * * */2", ["Sat 02 May 07:00", "Sun 03 May 07:00", "Tue 05 May 07:00"]),
        # Either the day of the month or that of the week.
        ("0 7 13 * 5", ["Fri 01 May 07:00", "Fri 08 May 07:00", "Wed 13 May 07:00", "Fri 15 May 07:00"]),
        ("0 7 30 2 1", ["Mon 01 Feb 07:00"]),
        ("0 0 29 feb *", ["Tue 29 Feb 00:00"]),
        ("5/20 7 * * *", ["Fri 01 May 07:05", "Fri 01 May 07:25", "Fri 01 May 07:45", "Sat 02 May 07:05"]),
        ("@daily", ["Sat 02 May 00:00"]),
        ("@weekly", ["Sun 03 May 00:00"]),
    ],
)
def test_cron_is_read_as_cron_reads_it(cron: str, shown: list[str]) -> None:
    clock, moment = read_cron(cron, ZoneInfo("UTC")), datetime(2026, 5, 1, tzinfo=UTC)
    for wanted in shown:
        found = clock.after(moment)
        assert found
        assert f"{found:%a %d %b %H:%M}" == wanted
        moment = found


@pytest.mark.parametrize(
    "cron",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("* * * * mo", "*/0 * * * *", "* 5-2 * * *", "* * * * 5-2", "* * * * 1/0", "0 0 30 2 *"),
        *("0 0 last * *", "@reboot", "a b c d e"),
    ],
)
def test_what_is_no_cron_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(ValueError, match='write it like "0 7'):
        read_cron(cron, None)


@pytest.mark.parametrize(
    "at", ["", "7", "24:00", "18:60", "2026-02-30 18:00", "tomorrow 18:00", "18:00 2026-12-24"]
)
def test_what_is_no_time_is_refused_with_an_example(at: str) -> None:
    with pytest.raises(ValueError, match='write it like "18:00"'):
        read_at(at, None)


def test_without_a_zone_the_clock_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        start = datetime(2026, 3, 7, 12, tzinfo=UTC)
        bare, named = table(None, cron="30 2 * * *"), table(NEW_YORK, cron="30 2 * * *")
        assert list(islice(bare.coming(start, start), 5)) == list(islice(named.coming(start, start), 5))
        assert clock_change(datetime(2026, 3, 8, 12, tzinfo=UTC), None) == HOUR
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("zone", "date"), CHANGES)
def test_the_day_of_a_change_is_known(zone: ZoneInfo, date: str) -> None:
    noon = day(date, zone) + 12 * HOUR
    assert clock_change(noon, zone) == (HOUR if (zone, date) in SPRING else -HOUR)
    assert clock_change(noon + DAY, zone) == clock_change(noon - DAY, zone) == timedelta(0)


@given(
    zone=st.sampled_from([BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]),
    cron=st.sampled_from(["30 2 * * *", "*/20 1-3 * * *", "0 */3 * * *", "15,45 2 * * 0"]),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 28)),
    steps=st.lists(st.integers(-90, 600), max_size=60),
)
def test_whatever_the_clock_does_no_time_is_fired_twice_and_none_before_it_came(
    zone: ZoneInfo, cron: str, start: datetime, steps: list[int]
) -> None:
    """A clock that sleeps, jumps and is set back; minutes between two looks."""
    timetable, now = table(zone, cron=cron), start.replace(tzinfo=UTC)
    looked, latest, seen = now, now, set[str]()
    for minutes in steps:
        now += timedelta(minutes=minutes)
        latest = max(latest, now)
        if due := timetable.due(looked, now):
            shown = f"{timetable.shown(due.moment).replace(tzinfo=None)}"
            assert shown not in seen
            assert looked < due.moment <= now
            seen.add(shown)
            looked = due.looked
        assert timetable.due(looked, now) is None, "one run, however much was missed"
        assert timetable.times.after(looked) or not seen
    if timetable.due(start.replace(tzinfo=UTC), latest):
        assert seen, "what was due at some time was fired"
