"""`agentd changes`, as a person types it, without a daemon."""

from pathlib import Path

import pytest

from agentd.api.shapes import ChangeShape
from agentd.paths import Paths
from tests.cli.conftest import Cli
from tests.shapes import check_shape

NOTE = "# Garden\n\nPrune the pear tree.\n"


@pytest.fixture
def notes(fake: Paths, cli: Cli, tmp_path: Path) -> list[Path]:
    """Two notes in a watched folder, tagged by the fake model, which waits for review."""
    folder = tmp_path / "notes"
    folder.mkdir()
    fake.config.write_text(
        f"models: {{main: {{path: fake}}}}\nwatch: [{{path: '{folder}', task: note-tagging}}]\n"
        "vocabularies: {tags: [garden, kitchen]}\n"
    )
    made = [folder / "a.md", folder / "b.md"]
    for note in made:
        note.write_text(NOTE)
    assert cli("run", "note-tagging", *made).code == 0
    return made


def test_nothing_is_written_until_a_person_says_so_and_all_can_be_undone(cli: Cli, notes: list[Path]) -> None:
    assert [note.read_text() for note in notes] == [NOTE, NOTE]
    listed = cli("changes", "--json").json
    check_shape(listed, list[ChangeShape])
    assert [(one["kind"], one["state"], one["details"]) for one in listed] == [
        ("frontmatter", "planned", {"set": {"tags": ["garden"]}})
    ] * 2
    dry = cli("changes", "apply", "--all", "--dry-run")
    assert "+  - garden" in dry.out
    assert notes[0].read_text() == NOTE
    done = cli("changes", "apply", "--all")
    assert done.code == 0
    assert "2 of 2 changes applied" in done.err
    assert notes[0].read_text() == f"---\ntags:\n  - garden\n---\n{NOTE}"
    assert cli("changes", "undo", "--since", "1h").code == 0
    assert [note.read_text() for note in notes] == [NOTE, NOTE]
    assert "nothing to undo" in cli("changes", "undo", "--all").err


def test_a_change_is_shown_with_its_diff_before_and_after(cli: Cli, notes: list[Path]) -> None:
    shown = cli("changes", "show", "1")
    assert "state     planned" in shown.out
    assert "+tags:\n+  - garden" in shown.out
    cli("changes", "apply", "1")
    told = cli("changes", "show", "1", "--json").json
    assert told["state"] == "applied"
    assert "+  - garden" in told["diff"]
    assert told["drift"] == []


def test_an_undo_is_refused_with_a_diff_where_the_file_changed_since(cli: Cli, notes: list[Path]) -> None:
    cli("changes", "apply", "--all")
    path = cli("changes", "show", "1", "--json").json["path"]
    Path(path).write_text(Path(path).read_text() + "More of mine.\n")
    refused = cli("changes", "undo", "--all")
    assert refused.code == 1
    assert "has changed since, so change 1 stays" in refused.err
    assert "+More of mine." in refused.err
    assert "next:  agentd changes show 1" in refused.err
    assert "1 of 2 changes undone" in refused.err
    assert "More of mine." in Path(path).read_text()
    assert "+More of mine." in cli("changes", "show", "1").out


def test_a_refused_change_is_not_proposed_again(cli: Cli, notes: list[Path]) -> None:
    assert cli("changes", "refuse", "--job", "1").code == 0
    cli("run", "note-tagging", *notes)
    states = [one["state"] for one in cli("changes", "list", "--json").json]
    assert sorted(states) == ["planned", "refused", "superseded"]
    assert cli("changes", "list", "--state", "refused", "--json").json[0]["id"] in (1, 2)


def test_wrong_words_are_told_with_the_next_command(cli: Cli, fake: Paths) -> None:
    bare = cli("changes", "apply")
    assert (bare.code, "say which changes to apply: IDs, --job ID, --since TIME or --all" in bare.err) == (2, True)
    missing = cli("changes", "show", "7")
    assert (missing.code, "there is no change 7" in missing.err) == (1, True)
    assert "next:  agentd changes list" in missing.err
    unknown = cli("changes", "undo", "7")
    assert (unknown.code, "there is no change 7" in unknown.err) == (1, True)
    assert "no changes" in cli("changes").err
