"""Where tasks are found."""

import os
from pathlib import Path

import pytest

from agentd.errors import BrokenTask, UnknownTask
from agentd.tasks.definition import Task
from agentd.tasks.library import Library, shipped_tasks
from tests.tasks.conftest import HEADER, VOCABULARIES, task_text

SHIPPED = [
    "code-review",
    "daily-digest",
    "file-inbox",
    "log-report",
    "log-triage",
    "meeting-notes",
    "note-tagging",
    "summarise",
]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    return folder


@pytest.fixture
def library(own: Path) -> Library:
    return Library(own, VOCABULARIES | {"folders": {"letters": ""}})


def test_the_shipped_tasks_are_there_and_whole(library: Library) -> None:
    assert library.names() == SHIPPED
    assert all(isinstance(found, Task) for found in library.check().values())


def test_an_own_task_comes_before_a_shipped_one_of_the_same_name(library: Library, own: Path) -> None:
    shipped = library.get("summarise")
    (own / "summarise.md").write_text(task_text(HEADER.replace("name: tag", "name: summarise")))
    assert library.get("summarise").file == own / "summarise.md"
    assert library.names() == SHIPPED
    (own / "summarise.md").unlink()
    assert library.get("summarise") == shipped


@pytest.mark.parametrize("name", ["../tag", "/etc/passwd", "", ".", "tag.md", "*", "TAG", "tag\n"])
def test_a_name_is_never_a_path(library: Library, own: Path, name: str) -> None:
    (own.parent / "tag.md").write_text(task_text())
    (own / "tag.md").write_text(task_text())
    with pytest.raises(UnknownTask):
        library.get(name)


def test_an_unknown_task_names_the_nearest(library: Library) -> None:
    with pytest.raises(UnknownTask, match="did you mean `summarise`"):
        library.get("sumarise")
    with pytest.raises(UnknownTask, match=f"there are {', '.join(SHIPPED)}"):
        library.get("zzz")


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(library: Library, own: Path) -> None:
    file = own / "tag.md"
    file.write_text(task_text(instructions="First."))
    first = library.get("tag")
    assert library.get("tag") is first
    file.write_text(task_text(instructions="Then."))
    assert library.get("tag").instructions == "Then."


def test_an_edit_of_the_same_length_in_the_same_instant_is_noticed(library: Library, own: Path) -> None:
    file, stamp = own / "tag.md", 1_700_000_000_000_000_000
    file.write_text(task_text(instructions="One."))
    os.utime(file, ns=(stamp, stamp))
    assert library.get("tag").instructions == "One."
    (own / "new").write_text(task_text(instructions="Two."))
    os.utime(own / "new", ns=(stamp, stamp))
    (own / "new").rename(file)  # as editors save
    assert library.get("tag").instructions == "Two."


def test_a_broken_task_hides_no_other(library: Library, own: Path) -> None:
    (own / "broken.md").write_text("no front matter")
    found = library.check()
    assert isinstance(found["broken"], BrokenTask)
    assert isinstance(found["summarise"], Task)


def test_what_an_editor_leaves_is_no_task(library: Library, own: Path) -> None:
    (own / ".tag.md").write_text("half")
    (own / ".#tag.md").symlink_to("user@host.123")
    (own / "tag.md~").write_text("old")
    assert library.names() == SHIPPED


def test_what_cannot_be_read_is_a_broken_task(library: Library, own: Path) -> None:
    (own / "latin.md").write_bytes(task_text().encode() + b"\xe9")
    (own / "folder.md").mkdir()
    (own / "dangling.md").symlink_to("nowhere")
    (own / "huge.md").write_text(task_text() + "x" * 300_000)
    os.mkfifo(own / "pipe.md")
    for name, reason in [
        ("latin", "not valid UTF-8"),
        ("folder", "is not a file"),
        ("dangling", "No such file"),
        ("huge", "larger than 256 KiB"),
        ("pipe", "is not a file"),
    ]:
        with pytest.raises(BrokenTask, match=f"{name}.md.*{reason}"):
            library.get(name)


def test_a_missing_folder_of_own_tasks_is_no_mistake(tmp_path: Path) -> None:
    assert "summarise" in Library(tmp_path / "none", VOCABULARIES).names()
    assert (shipped_tasks() / "summarise.md").is_file()
