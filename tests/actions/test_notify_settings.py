"""The `notify` section: what it takes, and what it says about mistakes."""

from pathlib import Path
from typing import get_args

import pytest

from agentd.actions.notify_settings import FindingSeverity, parse_rate
from agentd.config import read_yaml, validate
from agentd.daemon.settings import Config
from agentd.errors import ConfigError
from agentd.logs.severity import SEVERITIES

WHOLE = """\
actions:
  webhooks:
    ntfy: {url: "https://ntfy.sh/my-topic"}
  commands:
    page: {run: [/usr/local/bin/page]}
notify:
  rules:
    - {about: finding, severity: critical, to: [desktop, phone]}
    - {about: digest, task: daily-digest, to: [pager]}
  to:
    phone: {webhook: ntfy, shape: ntfy}
    pager: {command: page}
  quiet_hours: "22:00-07:00"
  at_most: 2 per day
  group: 5m
"""


def read(text: str) -> Config:
    return validate(read_yaml(text, Path("config.yaml")), Config)


def test_severities_are_those_of_logs() -> None:
    assert get_args(FindingSeverity) == SEVERITIES


def test_a_whole_section_is_taken_and_can_be_shown_and_read_again() -> None:
    notify = read(WHOLE).notify
    assert notify.places == ["desktop", "phone", "pager"]
    assert (notify.at_most.count, notify.at_most.seconds, notify.group) == (2, 86400, 300)
    shown = read(WHOLE).model_dump(mode="json", exclude_defaults=True)
    assert shown["notify"]["quiet_hours"] == "22:00-07:00"
    assert shown["notify"]["at_most"] == "2 per day"
    assert Config.model_validate(shown).notify == notify


def test_nobody_is_told_of_anything_by_default() -> None:
    notify = Config().notify
    assert (notify.rules, notify.places, notify.quiet_hours) == ((), ["desktop"], None)
    assert (str(notify.at_most), notify.group) == ("6 per hour", 30)


@pytest.mark.parametrize(
    ("was", "instead", "line", "told"),
    [
        ("about: finding", "about: findings", 8, "'finding', 'quarantined'"),
        ("severity: critical", "severity: bad", 8, "'info', 'notice'"),
        (
            "about: finding, severity: critical",
            "about: unwell, severity: critical",
            8,
            "only findings have a severity",
        ),
        ("about: digest, task", "about: unwell, task", 9, "only jobs and digests have a task"),
        ("to: [pager]", "to: []", 9, "at least 1"),
        ("to: [pager]", "to: [pagr]", 6, "there is no place `pagr`: there is desktop, phone, pager"),
        ("phone: {", "desktop: {", 10, "`desktop` is always there"),
        ("phone: {", "My Phone: {", 10, "the name 'My Phone'"),
        ("{webhook: ntfy, shape: ntfy}", "{webhook: nfty}", 6, "place `phone`: actions.webhooks has no `nfty`"),
        ("{command: page}", "{command: pager}", 6, "place `pager`: actions.commands has no `pager`"),
        ("{command: page}", "{command: page, shape: slack}", 12, "only a webhook has a shape"),
        ("{command: page}", "{}", 12, "either `webhook` or `command`"),
        ("{command: page}", "{command: page, webhook: ntfy}", 12, "either `webhook` or `command`"),
        ('"22:00-07:00"', "22:00", 13, "are no hours"),
        ('"22:00-07:00"', '"24:00-07:00"', 13, "are no hours"),
        ('"22:00-07:00"', '"07:00-07:00"', 13, "is the whole day"),
        ("2 per day", "2 a day", 14, "is not a rate: write it like 6 per hour"),
        ("2 per day", "0 per day", 14, "is not a rate"),
    ],
)
def test_a_mistake_is_told_with_its_line(was: str, instead: str, line: int, told: str) -> None:
    assert WHOLE.count(was) == 1 or was in ("about: finding", "phone: {")
    with pytest.raises(ConfigError) as caught:
        read(WHOLE.replace(was, instead, 1))
    assert f"config.yaml:{line}: " in caught.value.message
    assert told in caught.value.message


def test_rates_are_by_minute_hour_or_day() -> None:
    assert [parse_rate(f"3 per {span}").seconds for span in ("minute", "hour", "day")] == [60, 3600, 86400]
