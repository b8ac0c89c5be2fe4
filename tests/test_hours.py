from datetime import datetime, time

import pytest

from agentd.hours import Hours, parse_hours


@pytest.mark.parametrize(
    ("text", "told"),
    [("22:00-06:00", "22:00-06:00"), (" 9:05 - 17:30 ", "09:05-17:30"), ("18:00-24:00", "18:00-00:00")],
)
def test_hours_are_read_and_shown(text: str, told: str) -> None:
    assert str(parse_hours(text)) == told
    assert parse_hours(told) == parse_hours(text)


@pytest.mark.parametrize(
    "wrong", ["22-06", "25:00-06:00", "22:60-06:00", "22:00-24:01", "06:00-06:00", "00:00-24:00", 1320, None, ""]
)
def test_what_are_no_hours_is_refused_with_how_to_write_them(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"write them in quotes|leave it out"):
        parse_hours(wrong)


def test_the_end_does_not_belong_to_it_and_midnight_lies_inside() -> None:
    day, night = Hours(time(9), time(17)), Hours(time(22), time(6))
    assert [time(9) in day, time(16, 59) in day, time(17) in day, time(3) in day] == [True, True, False, False]
    assert [time(22) in night, time(0) in night, time(5, 59) in night, time(6) in night] == [
        True,
        True,
        True,
        False,
    ]


def test_how_long_it_takes_to_begin() -> None:
    night = Hours(time(22), time(6))
    assert night.minutes_until(datetime(2026, 5, 4, 21, 30)) == 30
    assert night.minutes_until(datetime(2026, 5, 4, 22, 1)) == 24 * 60 - 1
