"""When a place is told, by a clock that is passed in."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agentd.actions.notice_policy import hold, quiet_until
from agentd.actions.notify_settings import NotifySettings, parse_hours

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def settings(**given: object) -> NotifySettings:
    return NotifySettings.model_validate(given)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def test_what_came_just_now_waits_for_what_may_follow_and_is_told_then() -> None:
    held = hold(settings(), ago(29), [], NOON, BERLIN)
    assert held is not None
    assert (held.why, held.until) == ("more may come", NOON + timedelta(seconds=1))
    assert hold(settings(), ago(30), [], NOON, BERLIN) is None
    assert hold(settings(group="0s"), NOON, [], NOON, BERLIN) is None


def test_a_place_gets_so_many_messages_in_a_span_and_then_waits_for_the_oldest_to_leave_it() -> None:
    sent = [ago(3599), ago(1200), ago(600)]
    few = settings(at_most="3 per hour")
    held = hold(few, ago(60), sent, NOON, BERLIN)
    assert held is not None
    assert (held.why, held.until) == ("at most 3 per hour", NOON + timedelta(seconds=1))
    assert hold(few, ago(60), [ago(3600), *sent[1:]], NOON, BERLIN) is None
    assert hold(settings(at_most="4 per hour"), ago(60), sent, NOON, BERLIN) is None


def test_a_clock_that_was_set_back_holds_nothing_for_longer_than_the_span() -> None:
    # By the clock, what waits and what was sent lies an hour ahead.
    assert hold(settings(), ago(-3600), [], NOON, BERLIN) is None
    assert hold(settings(at_most="1 per hour"), ago(60), [ago(-3600)], NOON, BERLIN) is None


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        ((2026, 5, 4, 21, 59, 59), None),
        ((2026, 5, 4, 22, 0, 0), (2026, 5, 5, 7, 0)),
        ((2026, 5, 4, 23, 59, 59), (2026, 5, 5, 7, 0)),
        ((2026, 5, 5, 0, 0, 0), (2026, 5, 5, 7, 0)),
        ((2026, 5, 5, 6, 59, 59), (2026, 5, 5, 7, 0)),
        ((2026, 5, 5, 7, 0, 0), None),
        ((2026, 12, 31, 23, 0, 0), (2027, 1, 1, 7, 0)),
    ],
)
def test_quiet_hours_go_over_midnight(local: tuple[int, ...], ends: tuple[int, ...] | None) -> None:
    now = datetime(*local, tzinfo=BERLIN)  # type: ignore[arg-type, misc]
    held = hold(settings(quiet_hours="22:00-07:00"), now - timedelta(minutes=1), [], now, BERLIN)
    if ends is None:
        assert held is None
    else:
        assert held is not None
        assert (held.why, held.until) == ("quiet hours", datetime(*ends, tzinfo=BERLIN))  # type: ignore[arg-type, misc]


def test_quiet_hours_inside_a_day_end_on_the_same_day() -> None:
    hours = parse_hours("13:00-15:00")
    assert hours is not None
    assert quiet_until(hours, datetime(2026, 5, 4, 14, tzinfo=BERLIN), BERLIN) == datetime(
        2026, 5, 4, 15, tzinfo=BERLIN
    )
    assert quiet_until(hours, datetime(2026, 5, 4, 15, tzinfo=BERLIN), BERLIN) is None


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        (BERLIN, (2026, 3, 28), 8),  # the clocks go forward in this night …
        (NEW_YORK, (2026, 3, 7), 8),
        (BERLIN, (2026, 10, 24), 10),  # … and back in this one
        (NEW_YORK, (2026, 10, 31), 10),
        (BERLIN, (2026, 5, 4), 9),
    ],
)
def test_quiet_hours_go_by_the_clock_on_the_wall_in_nights_in_which_it_is_changed(
    zone: ZoneInfo, evening: tuple[int, int, int], hours: int
) -> None:
    quiet = parse_hours("22:00-07:00")
    assert quiet is not None
    begins = datetime(*evening, 22, tzinfo=zone).astimezone(UTC)
    ends = begins + timedelta(hours=hours)
    minutes = [begins + timedelta(minutes=minute) for minute in range(-60, hours * 60 + 60)]
    held = [moment for moment in minutes if quiet_until(quiet, moment, zone)]
    assert held == [moment for moment in minutes if begins <= moment < ends]
    assert {quiet_until(quiet, moment, zone) for moment in held} == {ends}


@pytest.mark.parametrize("night", [(2026, 3, 29), (2026, 10, 25)])
def test_quiet_hours_that_end_in_the_hour_of_the_change_end_once_the_clock_reads_so(
    night: tuple[int, int, int],
) -> None:
    quiet = parse_hours("01:00-02:30")
    assert quiet is not None
    begins = datetime(*night, 1, tzinfo=BERLIN).astimezone(UTC)
    for minute in range(240):
        moment = begins + timedelta(minutes=minute)
        until = quiet_until(quiet, moment, BERLIN)
        local = moment.astimezone(BERLIN)
        assert (until is not None) == ("01:00" <= f"{local:%H:%M}" < "02:30")
        assert until is None or until > moment


def test_quiet_hours_are_those_of_the_machine_where_no_zone_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        quiet = parse_hours("22:00-07:00")
        assert quiet is not None
        # 23:30 and 07:00 there.
        assert quiet_until(quiet, datetime(2026, 5, 4, 18, 0, tzinfo=UTC)) == datetime(
            2026, 5, 5, 1, 30, tzinfo=UTC
        )
        assert quiet_until(quiet, datetime(2026, 5, 5, 1, 30, tzinfo=UTC)) is None
    finally:
        monkeypatch.undo()
        time.tzset()
