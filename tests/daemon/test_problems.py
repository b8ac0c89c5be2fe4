from collections import deque
from pathlib import Path

import pytest

from agentd.daemon.disks import Disk
from agentd.daemon.duty import Duty
from agentd.daemon.problems import Problem, Vitals, find_problems
from agentd.errors import EngineCrashed, ModelUnavailable, StoreError, Unreadable


async def never() -> None:
    raise AssertionError("no duty runs here")


def duty(*failed: float) -> Duty:
    return Duty("heartbeat", never, len(failed), "ValueError: no", deque(failed, maxlen=3))


def keys(vitals: Vitals, now: float = 1000.0) -> list[str]:
    return [problem.key for problem in find_problems(vitals, now)]


def test_a_daemon_that_is_well_has_no_problem() -> None:
    vitals = Vitals(
        duties=[duty(), duty(999.0)],
        disks=[Disk(Path("/"), ("the database",), 10**12, 10**12, 10**6, 10**6)],
        watches={"/notes → tag": None},
        logs={"journal": []},
    )
    assert find_problems(vitals, 1000.0) == []


def test_a_duty_that_fails_again_and_again_is_a_problem_until_it_has_run_for_long() -> None:
    assert keys(Vitals(duties=[duty(990.0, 999.0)])) == []
    failing = Vitals(duties=[duty(500.0, 990.0, 999.0)])
    assert find_problems(failing, 1000.0) == [
        Problem(
            "duty heartbeat",
            "heartbeat had to be started again 3 times in 10 minutes: ValueError: no",
            "agentd restart",
        )
    ]
    assert keys(failing, 1101.0) == [], "its first failure is no longer one of the last ten minutes"


def test_a_duty_that_is_stuck_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = duty()
    assert keys(Vitals(duties=[silent])) == []
    monkeypatch.setattr("agentd.daemon.duty.STUCK_SECONDS", -1.0)
    (found,) = find_problems(Vitals(duties=[silent]), 1000.0)
    assert (found.key, found.told) == ("duty heartbeat", "heartbeat has given no sign of life for 0 s")
    silent.ended = True
    monkeypatch.undo()
    assert keys(Vitals(duties=[silent])) == []


def test_every_kind_of_trouble_has_its_own_key_and_what_weighs_most_comes_first() -> None:
    vitals = Vitals(
        duties=[duty(1.0, 2.0, 3.0)],
        models={"main": ModelUnavailable("cannot open it", hint="agentd config path"), "big": EngineCrashed()},
        store=StoreError("no space left for the database /d", hint="df -h /"),
        disks=[Disk(Path("/my data"), ("the database",), 0, 10**12, 10**6, 10**6)],
        watches={"/notes → tag": "the watched folder /notes does not exist", "/notes → sum": None},
        schedules={"digest": "the config has no model `gone`", "backup": None},
        logs={"/var/log/*.log": [Unreadable("cannot open /var/log/a"), Unreadable("cannot open /var/log/b")]},
    )
    found = {problem.key: (problem.told, problem.hint) for problem in find_problems(vitals, 4.0)}
    assert list(found) == [
        "database",
        "disk /my data",
        "duty heartbeat",
        "model main",
        "model big",
        "watch /notes → tag",
        "schedule digest",
        "log /var/log/*.log",
    ]
    assert found["database"] == (
        "what was last to be written could not be: no space left for the database /d",
        "df -h /",
    )
    assert found["disk /my data"][1] == "df -h '/my data'"
    assert found["model main"] == ("model main failed: cannot open it", "agentd config path")
    assert found["schedule digest"][0] == "schedule digest waits when it is due: the config has no model `gone`"
    assert found["log /var/log/*.log"][0] == "/var/log/*.log: cannot open /var/log/a (and 1 more)"


def test_the_key_stays_the_same_while_the_words_change() -> None:
    first = Vitals(logs={"journal": [Unreadable("a")]})
    later = Vitals(logs={"journal": [Unreadable("b"), Unreadable("c")]})
    assert keys(first) == keys(later)
