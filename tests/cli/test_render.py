"""Tables, times and sources for people, and nothing in them that a terminal would obey."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from agentd.cli.results import parse_since
from agentd.cli.text import likelihoods, output_line, percent, seconds_text, short_source, size_text
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


def test_what_was_chosen_by_score_is_shown_with_its_probability(cli: Cli, fake: Paths) -> None:
    store = Store(fake.database)
    queue.add(store._db, make_event("/notes/a.md"), "hash", "main", NOW)
    job = queue.claim(store._db, "me", "main", NOW)
    assert job is not None
    likely = {"info": 0.003, "error": 0.917, "warning": 0.05, "debug": 0.03}
    result = make_result({"severity": "error", "what": "disk"}, probabilities={"severity": likely})
    results.complete(store._db, job, "me", "hash", result, make_document(), NOW)
    store.close()
    assert "severity: error (92 %) · what: disk" in cli("results").out
    shown = cli("results", "show", "1").out
    assert "scored    severity: error (92 %), warning (5 %), debug (3 %), …\n" in shown
    assert "time      1.5 s (0.2 s of the engine's)\n" in shown
    assert cli("results", "--json").json[0]["probabilities"] == {"severity": likely}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.996, "> 99 %"), (1.0, "100 %")],
)
def test_a_probability_is_never_rounded_to_certainty(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 MiB"), (98 * 2**20, "98 MiB"), (4 * 2**30, "4.0 GiB")])
def test_sizes_are_told_in_the_unit_that_fits(size: int, text: str) -> None:
    assert size_text(size) == text


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


def test_what_was_found_is_told_without_its_quote_and_a_score_only_where_it_decided() -> None:
    result = {
        "output": {
            "kind": "invoice",
            "folder": "bills",
            "sender": {"value": "Corner Bakery", "quote": "Corner Bakery", "where": "line 1"},
            "total": {"value": 8.3, "currency": "USD", "quote": "Total $8.30", "where": "line 7"},
            "remarks": [{"quote": "x", "line": "line 2", "problem": "too long"}],
        },
        "probabilities": {"kind": {"invoice": 0.75}, "folder": {"bills": 0.13}},
        "why": {"folder": []},
    }
    assert output_line(result["output"], likelihoods(result)) == (
        "kind: invoice (75 %) · folder: bills · sender: Corner Bakery · total: 8.3 USD · remarks: too long"
    )
