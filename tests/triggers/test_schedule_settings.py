from pathlib import Path
from typing import Any

import pytest

from agentd.config import read_yaml, validate
from agentd.daemon.settings import Config
from agentd.errors import ConfigError
from agentd.triggers.schedule_settings import ScheduleSettings

FILE = Path("/home/me/config.yaml")


def read(text: str) -> ScheduleSettings:
    return validate(read_yaml(f"schedule:\n  - task: digest\n    {text}\n", FILE), Config).schedule[0]


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("name: x", 2, "has no time: give one of cron:"),
        ("cron: '0 7 * * *'\n    every: 1h", 2, "the schedule `digest` has cron and every: give one of"),
        ("cron: 0 7 * *", 3, "'0 7 * *' has 4 fields instead of five: write it like \"0 7 * * 1-5\""),
        ("cron: 0 25 * * *", 3, "write it like"),
        ("every: 30s", 3, "this is shorter than 1m"),
        ("at: noon", 3, "'noon' is no time: write it like \"18:00\""),
        ("at: '18:00'\n    timezone: Berlin", 4, "'Berlin' is no time zone that is known here"),
        ("at: '18:00'\n    timezone: ../../etc/passwd", 4, "is no time zone"),
        ("at: '18:00'\n    input: []", 4, "an empty list is no input"),
        ("at: '18:00'\n    input: {folder: /n, exclude: []}", 4, "exclude"),
        ("at: '18:00'\n    name: A b", 4, "schedule.0.name"),
        ("at: '18:00'\n    mode: single\n    catch_up: twice", 5, "expected 'once' or 'none'"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_an_example(text: str, line: int, told: str) -> None:
    message = error_of(text)
    assert message.startswith(f"{FILE}:{line}: ")
    assert told in message


def test_two_schedules_of_one_name_are_refused_and_two_of_one_task_have_names() -> None:
    both = "schedule:\n- {task: a, every: 1h}\n- {task: a, every: 2h%s}\n"
    with pytest.raises(ConfigError, match="two schedules are called `a`: give one of them a `name`"):
        validate(read_yaml(both % "", FILE), Config)
    named = validate(read_yaml(both % ", name: b", FILE), Config).schedule
    assert [one.origin for one in named] == ["schedule a", "schedule b"]


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("cron: 0 7 * * *", "every day at 07:00"),
        ("cron: 5 18 * * *\n    timezone: Europe/Berlin", "every day at 18:05 (Europe/Berlin)"),
        ("cron: 0 7 * * 1-5", "cron 0 7 * * 1-5"),
        ("every: 6h", "every 6h"),
        ("every: 90m", "every 90m"),
        ("every: 90.5s", "every 90.5s"),
        ("at: 18:00", "every day at 18:00"),  # without quotes, YAML reads a number of minutes
        ("at: 07:05", "every day at 07:05"),
        ("at: 2026-12-24 18:00", "once on 2026-12-24 18:00"),
        ("at: 2026-12-24 18:00:00", "once on 2026-12-24 18:00"),
    ],
)
def test_times_are_told_in_words(text: str, when: str) -> None:
    assert read(text).words == when


@pytest.mark.parametrize(
    ("given", "materials"),
    [
        ("results", ("results",)),
        ("nothing", ()),
        ("[findings, results]", ("findings", "results")),
        ("{folder: /notes}", ()),
    ],
)
def test_an_input_is_one_of_few_things(given: str, materials: tuple[Any, ...]) -> None:
    assert read(f"every: 1h\n    input: {given}").materials == materials


def test_the_jobs_of_a_schedule_wait_for_what_it_asks() -> None:
    text = "schedule:\n- {task: digest, every: 1h, when: {on_ac: true}}\n- {task: other, every: 1h}\n"
    conditions = validate(read_yaml(text, FILE), Config).conditions()
    assert list(conditions) == ["schedule digest"]
    assert conditions["schedule digest"][0].on_ac
