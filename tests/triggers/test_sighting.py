"""Which files belong to a watch, and what is seen of them."""

import os
from pathlib import Path
from typing import Any

import pytest

from agentd.errors import NotAFile, TooLarge
from agentd.records import Priority, path_of
from agentd.triggers.settings import WatchSettings
from agentd.triggers.sighting import Selection, inspect, look


def watch(root: Path, **settings: Any) -> WatchSettings:
    return WatchSettings.model_validate({"path": str(root), "task": "tag"} | settings)


@pytest.mark.parametrize(
    ("name", "settings", "taken"),
    [
        ("a.md", {}, True),
        ("a.txt", {}, True),
        ("deep/er/a.md", {}, True),
        ("a.pdf", {}, False),
        ("A.MD", {}, False),
        (".hidden.md", {}, False),
        (".git/a.md", {}, False),
        ("a/.obsidian/b.md", {}, False),
        ("a.md~", {"include": ["*"]}, False),
        (".a.md.swp", {"include": ["*"]}, False),
        ("#a.md#", {"include": ["*"]}, False),
        ("~$a.md", {}, False),
        ("4913", {"include": ["*"]}, False),
        ("a.md.part", {"include": ["*"]}, False),
        ("a.md.crdownload", {"include": ["*"]}, False),
        ("a", {"include": ["*"]}, True),
        ("sub/a.md", {"recursive": False}, False),
        ("a.md", {"recursive": False}, True),
        ("drafts/a.md", {"exclude": ["drafts/"]}, False),
        ("x/drafts/a.md", {"exclude": ["drafts/"]}, False),
        ("x/drafts/a.md", {"exclude": ["/drafts/"]}, True),
        ("a.draft.md", {"exclude": ["*.draft.md"]}, False),
        ("a.md", {"include": ["*.md", "!a.md"]}, False),
        ("b/a.md", {"include": ["/b/*.md"]}, True),
        ("c/a.md", {"include": ["/b/*.md"]}, False),
        ("two\nlines.md", {}, True),
        ("two\nlines/a.md", {}, True),
        ("two\nlines/a.md", {"exclude": ["two*"]}, False),
        (os.fsdecode(b"caf\xe9.md"), {}, True),
        (" .md", {}, True),
    ],
)
def test_a_selection_takes_what_its_patterns_say(
    tmp_path: Path, name: str, settings: dict[str, Any], taken: bool
) -> None:
    selection = Selection(watch(tmp_path, **settings))
    assert selection.takes_file(tmp_path / name) is taken
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("text")
    walked = [path_of(sighting.source) for sighting in selection.walk([])]
    assert walked == ([tmp_path / name] if taken else [])


def test_a_path_outside_the_folder_never_belongs(tmp_path: Path) -> None:
    selection = Selection(watch(tmp_path / "notes"))
    assert not selection.takes_file(tmp_path / "a.md")
    assert not selection.takes_file(tmp_path / "notes")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.md").write_text("secret")
    root = tmp_path / "notes"
    root.mkdir()
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "file.md").symlink_to(tmp_path / "out" / "a.md")
    (root / "loop.md").symlink_to("loop.md")
    (root / "up").symlink_to("..")
    assert list(Selection(watch(root)).walk([])) == []


def test_left_out_folders_are_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("taken", ".git", "node_modules/deep"):
        (tmp_path / name).mkdir(parents=True)
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (listed.append(Path(folder).name), scandir(folder))[1])
    list(Selection(watch(tmp_path, exclude=["node_modules/"])).walk([]))
    assert listed == [tmp_path.name, "taken"]
    listed.clear()
    list(Selection(watch(tmp_path, recursive=False)).walk([]))
    assert listed == [tmp_path.name]


def test_a_folder_that_cannot_be_listed_is_told_and_the_rest_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.md").write_text("text")
    scandir = os.scandir

    def refuse(folder: Path) -> Any:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    unreadable: list[Path] = []
    assert len(list(Selection(watch(tmp_path)).walk(unreadable))) == 1
    assert unreadable == [tmp_path / "closed"]


def test_a_watched_folder_that_is_missing_cannot_be_walked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(Selection(watch(tmp_path / "none")).walk([]))


def test_a_look_tells_an_edit_from_a_look(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("one")
    first = look(file)
    assert first is not None
    assert look(file) == first
    file.write_text("two!")
    assert look(file) != first
    assert look(tmp_path) is None
    assert look(tmp_path / "none") is None


def test_a_file_that_changed_since_it_was_seen_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("one")
    sighting = look(file)
    assert sighting is not None
    assert inspect(sighting, watch(tmp_path), Priority.TRIGGERED, wanted=True) is not None
    file.write_text("another")
    assert inspect(sighting, watch(tmp_path), Priority.TRIGGERED, wanted=True) is None
    file.unlink()
    assert inspect(sighting, watch(tmp_path), Priority.TRIGGERED, wanted=True) is None


@pytest.mark.parametrize("name", ["a.md", "two\nlines.md", os.fsdecode(b"caf\xe9.md")])
def test_what_can_never_be_a_document_is_an_event_with_its_refusal(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    pipe = look(tmp_path / name)
    assert pipe is not None
    taken = inspect(pipe, watch(tmp_path), Priority.TRIGGERED, wanted=True)
    assert taken is not None
    assert isinstance(taken.event.refusal, NotAFile)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text("12345")
    large = look(tmp_path / name)
    assert large is not None
    taken = inspect(large, watch(tmp_path, max_size="4B"), Priority.TRIGGERED, wanted=True)
    assert taken is not None
    assert isinstance(taken.event.refusal, TooLarge)
    assert "5 bytes, the limit of this watch is 4" in taken.event.refusal.message
    taken.event.refusal.message.encode()
