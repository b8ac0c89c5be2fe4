"""`agentd tasks vocabulary`: proposals are listed with counts, and a person decides."""

from pathlib import Path

import pytest

from agentd.paths import Paths
from tests.cli.conftest import Cli


@pytest.fixture
def notes(fake: Paths, cli: Cli, tmp_path: Path) -> list[Path]:
    """Notes of which some have a tag of their owner's, and some would need one that there is not."""
    folder = tmp_path / "notes"
    folder.mkdir()
    fake.config.write_text(
        f"models: {{main: {{path: fake}}}}\nwatch: [{{path: '{folder}', task: note-tagging}}]\n"
        "vocabularies: {tags: {garden: plants, kitchen: ''}}\n"
    )
    made = [folder / f"{number}.md" for number in range(24)]
    for number, note in enumerate(made):
        header = "---\ntags: [home]\n---\n" if number > 21 else ""
        about = "# Cycling tour\n" if number < 3 else f"# Other {number}\n"
        note.write_text(f"{header}{about}Words number {number}.\n")
    assert cli("run", "note-tagging", *made[:4]).code == 0
    return made


def state(cli: Cli) -> dict[str, tuple[str, int]]:
    rows = cli("tasks", "vocabulary", "list", "tags", "--json").json
    return {row["word"]: (row["state"], row["notes"]) for row in rows}


def test_new_tags_are_only_proposals_until_a_person_decides(cli: Cli, notes: list[Path]) -> None:
    listed = state(cli)
    assert listed["garden"] == ("in use", 0)
    assert listed["home"] == ("proposed", 2)
    assert listed["cycling"] == ("proposed", 3)
    assert cli("tasks", "vocabulary", "accept", "tags", "cycling", "--meaning", "bikes, tours").code == 0
    assert cli("tasks", "vocabulary", "reject", "tags", "tour").code == 0
    listed = state(cli)
    assert (listed["cycling"][0], listed["tour"][0]) == ("accepted", "rejected")
    tagged = cli("run", "note-tagging", notes[0], "--json").json[0]
    assert tagged["output"] == {"tags": ["cycling"]}
    assert cli("tasks", "vocabulary", "forget", "tags", "tour").code == 0
    assert state(cli)["tour"][0] == "proposed"


def test_the_table_ends_with_the_next_command(cli: Cli, notes: list[Path]) -> None:
    shown = cli("tasks", "vocabulary")
    assert "proposed" in shown.out
    assert "next:  agentd tasks vocabulary accept NAME WORD" in shown.err


def test_wrong_names_are_told(cli: Cli, fake: Paths) -> None:
    unknown = cli("tasks", "vocabulary", "list", "topics")
    assert (unknown.code, "there is no vocabulary `topics`" in unknown.err) == (1, True)
    bad = cli("tasks", "vocabulary", "accept", "topics", "Not A Tag")
    assert (bad.code, "is not a tag" in bad.err) == (1, True)
