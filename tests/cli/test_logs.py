"""`agentd logs`: what the store knows, as a person and as a program see it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from agentd.api.log_shapes import LogFindingShape, LogPatternShape
from agentd.daemon.agent import now
from agentd.paths import Paths
from agentd.records import Document, Event, timestamp
from agentd.store import logs, queue, results
from agentd.store.database import connect, migrate
from tests.cli.conftest import Cli
from tests.making import make_result
from tests.shapes import check_shape
from tests.store.learned import SOURCE, delta, finding, pattern

ANSWER = {
    "severity": "critical",
    "category": "memory",
    "what_happened": "The kernel killed web.",
    "likely_cause": "It grew.",
    "next_step": "Limit it.",
}


@pytest.fixture
def db(fake: Paths) -> Database:
    database = connect(fake.database)
    migrate(database)
    return database


@pytest.fixture
def found(db: Database, tmp_path: Path) -> Path:
    """Two findings, one of a moment ago and with a line in a file, one of last month."""
    log = tmp_path / "app.log"
    log.write_text("calm\nout of memory: killed web\n")
    recent, old = timestamp(now()), timestamp(now() - timedelta(days=30))
    minute = int(now().timestamp()) // 600 * 10
    cited = f'[{{"file": "{log}", "offset": 5, "line": "out of memory: killed web"}}]'
    fresh = finding(2, first=recent, last=recent, examples=cited, pattern="out of memory: killed <*>")
    past = finding(1, severity="warning", first=old, last=old)
    rows = (pattern(2, last=recent, severity="error"), pattern(1, first=old, last=old))
    logs.apply(db, delta(patterns=rows, findings=(past, fresh), buckets=((2, minute, 7),)), now())
    return log


def answer(db: Database, finding_id: int) -> None:
    event = Event("log-triage", f"log:{finding_id}", "ab" * 32)
    queue.add(db, event, "hash", "main", now())
    job = queue.claim(db, "boot:1:1", "main", now())
    assert job is not None
    document = Document(job.source, job.content, "what happened")
    results.complete(db, job, "boot:1:1", "hash", replace(make_result(), output=ANSWER), document, now())


@pytest.mark.usefixtures("found")
def test_findings_are_listed_the_worst_first(cli: Cli) -> None:
    ran = cli("logs")
    header, worst, other = ran.out.splitlines()
    assert header.split()[:4] == ["id", "severity", "state", "count"]
    assert worst.split()[1:3] == ["error", "new"]
    assert "out of memory: killed <*>" in worst
    assert "█" in worst
    assert other.split()[1:3] == ["warning", "resolved"]
    assert "2 not yet looked at by a model" in ran.err
    assert cli("logs", "findings").out == ran.out


@pytest.mark.usefixtures("found")
def test_lists_can_be_filtered(cli: Cli) -> None:
    def ids(*words: str) -> list[int]:
        return [one["pattern_id"] for one in cli("logs", "findings", "--json", *words).json]

    assert ids() == [2, 1]
    assert ids("--severity", "error") == [2]
    assert ids("--since", "2d") == [2]
    assert ids("--source", SOURCE) == [2, 1]
    assert ids("--source", "/other.log") == []
    assert ids("--limit", "1") == [2]


@pytest.mark.usefixtures("found")
def test_json_has_its_shapes(cli: Cli, db: Database) -> None:
    answer(db, 2)
    check_shape(cli("logs", "--json").json, list[LogFindingShape])
    patterns = cli("logs", "patterns", "--json").json
    check_shape(patterns, list[LogPatternShape])
    assert list(patterns[0]["buckets"].values()) == [7]


@pytest.mark.usefixtures("found")
def test_patterns_are_listed_with_their_last_day(cli: Cli) -> None:
    lines = cli("logs", "patterns").out.splitlines()
    assert lines[0].split()[:3] == ["id", "severity", "count"]
    assert "job 2 <*>" in lines[1]
    assert "█" in lines[1]


def test_a_finding_is_shown_with_its_lines_and_what_a_model_said(cli: Cli, db: Database, found: Path) -> None:
    answer(db, 2)
    shown = cli("logs", "show", "2").out
    assert f"\n{found}, byte 5:\nout of memory: killed web\n" in shown
    assert "guess     The kernel killed web. It grew. Limit it. (by the model)" in shown
    assert "words +52, model +10" in shown
    found.unlink()
    assert "it is not there any more" in cli("logs", "show", "2").out


def test_a_models_word_shifts_the_points_and_no_more(cli: Cli, db: Database, found: Path) -> None:
    before = cli("logs", "show", "2", "--json").json
    answer(db, 2)
    after = cli("logs", "show", "2", "--json").json
    assert (before["score"], after["score"]) == (52, 62)
    assert after["explanation"]["what_happened"] == "The kernel killed web."


@pytest.mark.usefixtures("found")
def test_a_muted_finding_is_out_of_sight_until_it_is_not(cli: Cli) -> None:
    assert "agentd logs unmute 2" in cli("logs", "mute", "2").out
    assert [one["id"] for one in cli("logs", "--json").json] == [1]
    muted = cli("logs", "findings", "--muted", "--json").json
    assert [(one["id"], one["state"]) for one in muted] == [(2, "muted"), (1, "resolved")]
    cli("logs", "unmute", "2")
    assert [one["id"] for one in cli("logs", "--json").json] == [2, 1]


@pytest.mark.usefixtures("db")
def test_nothing_is_said_where_there_is_nothing(cli: Cli) -> None:
    ran = cli("logs")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing to report" in ran.err
    assert cli("logs", "--json").json == []
    assert "name logs in the config" in cli("logs", "patterns").err
    assert cli("logs", "report").out.startswith("# Logs: nothing to report\n")


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("words", [("show", "99"), ("mute", "99"), ("unmute", "99")])
def test_an_id_that_is_none_is_named(cli: Cli, words: tuple[str, ...]) -> None:
    ran = cli("logs", *words)
    assert ran.code == 1
    assert "error: there is no finding 99" in ran.err
    assert "next:  agentd logs findings" in ran.err


def test_options_before_the_subcommand_are_not_dropped_in_silence(cli: Cli, fake: Paths) -> None:
    ran = cli("logs", "--json", "patterns")
    assert ran.code == 2
    assert "goes after `patterns`" in ran.err


@pytest.mark.usefixtures("found")
def test_a_report_has_the_last_day_and_a_summary(cli: Cli, tmp_path: Path) -> None:
    told = cli("logs", "report").out
    assert told.startswith("# Logs: 1 error\n")
    assert "out of memory: killed <*>" in told
    assert "> (a model's summary; the findings below are counted)" in told
    file = tmp_path / "report.md"
    assert cli("logs", "report", "--no-model", "--since", "60d", "-o", file).out == ""
    written = file.read_text()
    assert written.startswith("# Logs: 1 error, 1 warning\n")
    assert "summary" not in written
