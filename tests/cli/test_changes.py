"""`agentd changes`, as a person types it, without a daemon."""

from pathlib import Path

import pytest

from agentd.api.shapes import ChangeShape
from agentd.daemon.lock import hold
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


ALL = """\
---
name: all
description: All kinds
output:
  title: {type: string, maxLength: 40}
actions:
  - frontmatter: {set: {title: "{{ title }}"}}
  - append: {to: archive, file: log.md, text: "- {{ stem }}"}
  - command: {run: "yes"}
  - move: {to: archive, name: "{{ stem }} filed"}
---
Do it.
"""


@pytest.fixture
def filed(fake: Paths, cli: Cli, tmp_path: Path) -> list[Path]:
    """Two notes that wait to be tagged, listed and filed."""
    folder = tmp_path / "notes"
    folder.mkdir()
    fake.config.write_text(
        f"models: {{main: {{path: fake}}}}\nwatch: [{{path: '{folder}', task: all}}]\n"
        f"actions: {{targets: {{archive: '{tmp_path}/archive'}}, commands: {{'yes': {{run: [/bin/true]}}}}}}\n"
    )
    fake.tasks.mkdir(exist_ok=True)
    (fake.tasks / "all.md").write_text(ALL)
    made = [folder / "a.md", folder / "b.md"]
    for note in made:
        note.write_text(NOTE)
    assert cli("run", "all", *made).code == 0
    return made


def test_a_chain_is_undone_from_its_end_in_whatever_order_it_was_made(
    cli: Cli, filed: list[Path], tmp_path: Path
) -> None:
    # The second note's changes first, so that the log has its line before that of the first.
    ids = [change["id"] for change in cli("changes", "--json").json]
    assert ids == [8, 7, 6, 5, 4, 3, 2, 1]
    assert cli("changes", "apply", "8", "7", "6", "5", "6").code == 0
    assert cli("changes", "apply", "--all").code == 0
    log = tmp_path / "archive" / "log.md"
    first, second = [cli("changes", "show", one, "--json").json["path"] for one in ("1", "5")]
    assert log.read_text() == f"- {Path(second).stem[0]}\n- {Path(first).stem[0]}\n"
    refused = cli("changes", "undo", "6")
    assert (refused.code, "was changed again by change 2, so change 6 stays" in refused.err) == (1, True)
    assert "next:  agentd changes undo 2 6" in refused.err
    undone = cli("changes", "undo", "--all")
    assert "cannot be taken back, and stay: 2 command" in undone.err
    assert (undone.code, "6 of 6 changes undone" in undone.err) == (0, True)
    assert [note.read_text() for note in filed] == [NOTE, NOTE]
    assert not log.exists()


def test_changes_that_are_named_are_put_in_order_and_each_is_done_once(cli: Cli, filed: list[Path]) -> None:
    assert cli("changes", "apply", "4", "1", "1").code == 0
    undone = cli("changes", "undo", "1", "4", "4")
    assert (undone.code, "2 of 2 changes undone" in undone.err) == (0, True)
    assert undone.err.index("change 4 undone") < undone.err.index("change 1 undone")
    assert [note.read_text() for note in filed] == [NOTE, NOTE]


def test_an_undone_change_is_made_again_by_its_id_and_not_with_all(cli: Cli, notes: list[Path]) -> None:
    cli("changes", "apply", "1")
    cli("changes", "undo", "1")
    assert "1 applied" not in cli("changes", "apply", "--all").err
    again = cli("changes", "apply", "1")
    assert (again.code, "change 1 applied" in again.err) == (0, True)
    twice = cli("changes", "apply", "1")
    assert (twice.code, "change 1 not applied: is applied already" in twice.err) == (1, True)


def test_where_one_id_is_wrong_nothing_is_done(cli: Cli, notes: list[Path]) -> None:
    wrong = cli("changes", "apply", "1", "99")
    assert (wrong.code, "there is no change 99" in wrong.err) == (1, True)
    assert [note.read_text() for note in notes] == [NOTE, NOTE]
    both = cli("changes", "apply", "1", "--all")
    assert (both.code, "say either IDs or --job, --since and --all, not both" in both.err) == (2, True)


def test_a_change_that_cannot_be_made_says_so_before_and_keeps_no_other_from_being_shown(
    cli: Cli, notes: list[Path]
) -> None:
    path = Path(cli("changes", "show", "1", "--json").json["path"])
    path.write_text("+++\ntitle = 'x'\n+++\n")
    assert "this front matter is TOML" in cli("changes", "show", "1").out
    dry = cli("changes", "apply", "--all", "--dry-run")
    assert dry.code == 0
    assert "change 1 cannot be made" in dry.err
    assert "+  - garden" in dry.out


def test_without_a_daemon_no_two_commands_make_changes_at_a_time(cli: Cli, notes: list[Path], fake: Paths) -> None:
    with hold(fake.lock):
        refused = cli("changes", "apply", "--all")
    assert (refused.code, "is already running here" in refused.err) == (1, True)
    assert [note.read_text() for note in notes] == [NOTE, NOTE]


def test_wrong_words_are_told_with_the_next_command(cli: Cli, fake: Paths) -> None:
    bare = cli("changes", "apply")
    assert (bare.code, "say which changes to apply: IDs, --job ID, --since TIME or --all" in bare.err) == (2, True)
    missing = cli("changes", "show", "7")
    assert (missing.code, "there is no change 7" in missing.err) == (1, True)
    assert "next:  agentd changes list" in missing.err
    unknown = cli("changes", "undo", "7")
    assert (unknown.code, "there is no change 7" in unknown.err) == (1, True)
    assert "no changes" in cli("changes").err
