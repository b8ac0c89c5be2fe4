import math
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from agentd.conditions import Closed, Machine, When, WhenOfClasses, judge
from agentd.records import Priority

NOON = datetime(2026, 5, 4, 12, 30)
GIB = 1024**3


def when(**keys: Any) -> When:
    return When.model_validate(keys)


def at(clock: str) -> datetime:
    hour, minute = clock.split(":")
    return datetime(2026, 5, 4, int(hour), int(minute))


@pytest.mark.parametrize(
    ("asked", "holds", "fails", "told"),
    [
        ({"on_ac": True}, {"on_ac": True}, {"on_ac": False}, "waits for mains power"),
        (
            {"battery_above": 40},
            {"battery": 40.5},
            {"battery": 40.0},
            "waits for more than 40 % of battery (it has 40 %)",
        ),
        (
            {"idle_for": "10m"},
            {"idle_seconds": 600.0},
            {"idle_seconds": 599.0},
            "waits until nobody has used this machine for 10 min",
        ),
        ({"load_below": 2}, {"load": 1.99}, {"load": 2.0}, "waits for a load below 2 (others make 2.0)"),
        (
            {"gpu_free": True},
            {"gpu_users": (), "gpu_free": 0},
            {"gpu_users": ("blender (pid 3)",)},
            "waits for the GPU, which blender (pid 3) uses",
        ),
        (
            {"gpu_free": "8GiB"},
            {"gpu_free": 8 * GIB, "gpu_users": ("blender (pid 3)",)},
            {"gpu_free": 3 * GIB},
            "waits for 8 GiB of free GPU memory (there is 3.0)",
        ),
        ({"network": True}, {"network": True}, {"network": False}, "waits for the network"),
    ],
)
def test_each_condition_holds_and_fails_and_never_waits_for_what_is_not_known(
    asked: dict[str, Any], holds: dict[str, Any], fails: dict[str, Any], told: str
) -> None:
    assert when(**asked).asks == set(asked)
    assert judge(when(**asked), Machine(**holds), NOON) is None
    assert judge(when(**asked), Machine(**fails), NOON) == told
    assert judge(when(**asked), Machine(), NOON) is None, "a fact that nobody can tell holds nothing back"
    assert judge(When(), Machine(**fails), NOON) is None, "it was not asked for"


def test_a_machine_where_nobody_is_logged_in_is_idle() -> None:
    assert judge(when(idle_for="365d"), Machine(idle_seconds=math.inf), NOON) is None


def test_all_that_is_missing_is_told() -> None:
    machine = Machine(on_ac=False, network=False)
    told = judge(when(on_ac=True, network=True, hours="22:00-06:00"), machine, NOON)
    assert told == "waits for mains power and until 22:00 and for the network"


@pytest.mark.parametrize(
    ("hours", "clock", "told"),
    [
        ("22:00-06:00", "21:59", "waits until 22:00"),
        ("22:00-06:00", "22:00", None),
        ("22:00-06:00", "00:00", None),
        ("22:00-06:00", "05:59", None),
        ("22:00-06:00", "06:00", "waits until 22:00"),
        ("9:00-17:30", "17:29", None),
        ("9:00-17:30", "17:30", "waits until 09:00"),
        ("18:00-24:00", "23:59", None),
        ("18:00-24:00", "00:00", "waits until 18:00"),
        (["22:00-06:00", "12:00-13:00"], "12:59", None),
        (["22:00-06:00", "12:00-13:00"], "11:00", "waits until 12:00"),
        (["22:00-06:00", "12:00-13:00"], "13:00", "waits until 22:00"),
    ],
)
def test_hours_are_by_the_clock_on_the_wall_and_the_next_beginning_is_told(
    hours: Any, clock: str, told: str | None
) -> None:
    assert judge(when(hours=hours), Machine(), at(clock)) == told


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"hours": "22-6"}, 'write them in quotes, like "22:00-06:00"'),
        ({"hours": "25:00-06:00"}, "are no hours|is the whole day"),
        ({"hours": "22:00-06:60"}, "are no hours|is the whole day"),
        ({"hours": "06:00-06:00"}, "are no hours|is the whole day"),
        ({"hours": [1320]}, "are no hours|is the whole day"),
        ({"battery_above": 100}, "less than 100"),
        ({"load_below": 0}, "greater than 0"),
        ({"idle_for": 10}, "is not a duration"),
        ({"gpu_free": "8GB"}, "is not a size"),
        ({"on_ac": "yes"}, "valid boolean"),
        ({"on_battery": True}, "Extra inputs"),
    ],
)
def test_what_cannot_be_asked_is_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        when(**keys)


def test_conditions_cross_to_other_processes_and_back() -> None:
    every = when(
        on_ac=True,
        battery_above=40,
        idle_for="10m",
        load_below=0.5,
        gpu_free="512MiB",
        hours=["22:00-06:00", "12:00-24:00"],
        network=True,
    )
    assert every.asks == set(When.model_fields)
    for one in (every, when(gpu_free=True), When()):
        assert When.model_validate(one.model_dump(mode="json")) == one


def test_what_a_person_waits_for_is_never_closed() -> None:
    closed = Closed({"watch /n tag": "waits for mains power"}, {Priority.BACKFILL: "waits until 22:00"})
    assert closed.why("watch /n tag", Priority.TRIGGERED) == "waits for mains power"
    assert closed.why("watch /n tag", Priority.BACKFILL) == "waits for mains power"
    assert closed.why(None, Priority.BACKFILL) == "waits until 22:00"
    assert closed.why("log /l", Priority.TRIGGERED) is None
    assert closed.why("watch /n tag", Priority.INTERACTIVE) is None
    assert Closed.from_wire(closed.to_wire()) == closed
    assert closed
    assert not Closed()


def test_only_classes_that_wait_for_something_are_named() -> None:
    assert WhenOfClasses().by_priority() == {}
    asked = WhenOfClasses.model_validate({"backfill": {"on_ac": True}})
    assert asked.by_priority() == {Priority.BACKFILL: when(on_ac=True)}
