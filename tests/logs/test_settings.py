"""The `logs` section: what it may say, and what is refused with its line."""

from pathlib import Path

import pytest

from agentd.daemon.settings import Config, load_config
from agentd.errors import ConfigError
from agentd.logs.settings import LogSettings


def load(tmp_path: Path, *logs: str) -> Config:
    file = tmp_path / "config.yaml"
    file.write_text("logs:\n" + "".join(f"  - {log}\n" for log in logs))
    return load_config(file)


def test_a_path_or_the_journal_is_all_it_needs(tmp_path: Path) -> None:
    files, journal = load(tmp_path, "path: /var/log/*.log", "journald: {units: [ssh, cron]}").logs
    assert (files.source, files.start, files.task) == ("/var/log/*.log", None, "log-triage")
    assert journal.source == "journal ssh cron"
    assert LogSettings(journald={}).source == "journal"


def test_the_start_may_be_a_word_or_how_long_ago(tmp_path: Path) -> None:
    found = load(tmp_path, "{path: /a, start: beginning}", "{path: /b, start: 2h}", "{path: /c, task: null}").logs
    assert [log.start for log in found] == ["beginning", 7200.0, None]
    assert found[2].task is None


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("task: log-triage", "a log needs either `path` or `journald`"),
        ("{path: /a, journald: {}}", "a log needs either `path` or `journald`"),
        ("{path: /a, start: yesterday}", "yesterday"),
        ("{journald: {}, start: beginning}", "the journal has no beginning to start at"),
        ("{path: /a, encoding: klingon}", "there is no encoding 'klingon'"),
        ("{path: /a, entries: stanza}", "'stanza' is no rule for entries"),
        ("{path: /a, entries: 'start: ('}", "is broken"),
        ("{path: /a, format: '('}", "is not a regular expression"),
        ("{path: /a, format: '(?P<time>x)'}", "has no group"),
        ("{path: /a, timezone: Mars/Base}", "there is no time zone 'Mars/Base'"),
        ("{journald: {priority: 9}}", "priority"),
        ("{path: /a, news: {burst_factor: 0.5}}", "burst_factor"),
        ("{path: /a, calls_per_hour: -1}", "calls_per_hour"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path: Path, log: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, "path: /fine", log)
    assert f"{tmp_path}/config.yaml:3: " in refused.value.message
    assert said in refused.value.message


def test_a_log_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/var/log/a is listed twice"):
        load(tmp_path, "path: /var/log/a", "{path: /var/log/a, start: end}")
