"""Tables, times and sources for people, and nothing in them that a terminal would obey."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from agentd.cli.results import parse_since
from agentd.cli.text import seconds_text, short_source
from agentd.errors import InputError
from agentd.paths import Paths
from agentd.store import queue, results
from agentd.store.database import Store
from tests.cli.conftest import Cli
from tests.making import NOW, make_document, make_event, make_result

ESCAPE = "\x1b[31mred\x1b[0m\x1b[2J\r\x07\u202e"


@pytest.mark.parametrize("forced", [False, True])
def test_escapes_in_names_and_answers_reach_no_terminal(
    cli: Cli, fake: Paths, monkeypatch: pytest.MonkeyPatch, forced: bool
) -> None:
    source = f"/notes/{ESCAPE}\nx.md"
    store = Store(fake.database)
    db = store._db
    queue.add(db, make_event(source, task="note-tagging"), "hash", "main", NOW)
    job = queue.claim(db, "me", "main", NOW)
    assert job is not None
    output = {"title": ESCAPE, "tags": [ESCAPE, "[red]markup[/red]"]}
    results.complete(db, job, "me", "hash", make_result(output, model=ESCAPE), make_document(source=source), NOW)
    refusal = InputError(f"cannot read {source}", hint=f"ls '{source}'")
    queue.add(db, make_event(source, "b", task="note-tagging", refusal=refusal), "hash", "main", NOW)
    store.close()
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    for words in (["results"], ["results", "show", "1"], ["jobs"], ["jobs", "show", "2"], ["jobs", "show", "1"]):
        ran = cli(*words)
        assert ran.code == 0
        for evil in ("\x1b[31mred", "\x1b[2J", "\r", "\x07", "\u202e"):
            assert evil not in ran.out, words
        if not forced:
            assert "\x1b" not in ran.out, words
    shown = cli("results", "--json")
    assert "\x1b" not in shown.out
    assert shown.json[0]["output"] == output
    assert shown.json[0]["source"] == source


def test_a_table_in_a_pipe_has_one_whole_line_a_row(cli: Cli, fake: Paths) -> None:
    store = Store(fake.database)
    db = store._db
    said = "word " * 300
    queue.add(db, make_event("/notes/a.md"), "hash", "main", NOW)
    job = queue.claim(db, "me", "main", NOW)
    assert job is not None
    results.complete(db, job, "me", "hash", make_result({"said": said.strip()}), make_document(), NOW)
    store.close()
    lines = cli("results").out.splitlines()
    assert len(lines) == 2
    assert said.strip() in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_durations_are_told_as_people_say_them() -> None:
    assert [seconds_text(value) for value in (4, 89, 720, 12_000)] == ["4 s", "89 s", "12 min", "3 h 20 min"]


def test_sources_below_the_home_folder_are_shortened() -> None:
    assert short_source(f"{Path.home()}/notes/a.md") == "~/notes/a.md"
    assert short_source(f"{Path.home()}x/a.md") == f"{Path.home()}x/a.md"
    assert short_source("stdin") == "stdin"


def test_since_takes_a_duration_or_a_date() -> None:
    ctx, param = click.Context(click.Command("x")), click.Option(["--since"])
    assert parse_since(ctx, param, None) is None
    found = parse_since(ctx, param, "2h")
    assert found is not None
    assert abs(datetime.now(UTC) - timedelta(hours=2) - found) < timedelta(minutes=1)
    assert parse_since(ctx, param, "2026-05-31T10:00:00+02:00") == datetime(2026, 5, 31, 8, tzinfo=UTC)
    with pytest.raises(click.BadParameter, match="write it like 2h, 3d or 2026-05-31"):
        parse_since(ctx, param, "soon")
