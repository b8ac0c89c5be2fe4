from pathlib import Path

import pytest

from agentd.api.shapes import BackfillShape
from tests.cli.conftest import Cli
from tests.shapes import check_shape


def test_no_backfills_says_how_to_begin_one(cli: Cli, fake: object) -> None:
    assert cli("backfill").err == "no backfills: agentd backfill TASK PATH… begins one\n"
    assert cli("backfill", "--json").json == []


@pytest.mark.parametrize(
    "words", [("backfill", "summarise"), ("backfill", "start"), ("backfill", "--bogus", "x", "y")]
)
def test_a_wrong_word_is_a_usage_error(cli: Cli, fake: object, words: tuple[str, ...]) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert "agentd backfill start --help" in ran.err


def test_a_dry_run_counts_by_kind_and_begins_nothing(cli: Cli, fake: object, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in ("a.md", "b.txt", "c.html", ".hidden.md"):
        (folder / name).write_text("<html><p>text" if name == "c.html" else "text")
    counted = cli("backfill", "note-tagging", str(folder), "--dry-run", "--json").json
    assert counted == {"files": 2, "known": 0, "left_out": 1, "jobs": 2}
    assert cli("backfill", "--dry-run", "summarise", str(folder), "--json").json["files"] == 3
    assert cli("backfill", "list", "--json").json == []


def test_without_a_daemon_it_is_noted_shown_steered_and_cancelled(cli: Cli, fake: object, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    noted = cli("backfill", "summarise", str(tmp_path / "a.md"))
    assert noted.code == 0
    (row,) = cli("backfill", "list", "--json").json
    check_shape(row, BackfillShape)
    assert (row["state"], row["paths"]) == ("listing", [str(tmp_path / "a.md")])
    assert "1" in cli("backfill", "list").out
    assert "paused: 0 jobs wait" in cli("backfill", "pause", "1").err
    assert "state     paused" in cli("backfill", "show", "1").out
    assert "goes on" in cli("backfill", "resume", "1").err
    assert "0 jobs ended" in cli("backfill", "cancel", "1").err
    ended = cli("backfill", "resume", "1")
    assert (ended.code, ended.err) == (
        1,
        "error: backfill 1 is cancelled already\nnext:  agentd backfill show 1\n",
    )


def test_an_unknown_backfill_a_missing_path_and_an_unknown_task_are_named(
    cli: Cli, fake: object, tmp_path: Path
) -> None:
    assert cli("backfill", "show", "7").err == "error: there is no backfill 7\nnext:  agentd backfill list\n"
    assert "there is no file or folder" in cli("backfill", "summarise", str(tmp_path / "none")).err
    assert "there is no task" in cli("backfill", "sumarise", str(tmp_path)).err
