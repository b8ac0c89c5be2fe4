"""Effects stay below their roots, whatever stands or comes in between."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from agentd.actions import files
from agentd.actions.confine import Place, open_place
from agentd.errors import EffectFailed, Outside
from tests.actions.looks import names, sha


def test_another_name_of_a_file_outside_is_not_changed_with_it(note: Place, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.md").hardlink_to(folder / "a.md")
    files.replace(note, 1, sha(b"before"), b"after")
    assert ((tmp_path / "outside.md").read_bytes(), (folder / "a.md").read_bytes()) == (b"before", b"after")


@pytest.mark.parametrize("what", ["folder", "pipe", "socket"])
def test_what_is_no_file_is_left_alone(folder: Path, tmp_path: Path, what: str) -> None:
    path = folder / "x.md"
    with contextlib.ExitStack() as stack:
        match what:
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case _:
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                stack.enter_context(contextlib.chdir(folder))  # its whole path may be too long
                sock.bind(path.name)
        with open_place([folder], path) as place:
            for work in (lambda: files.replace(place, 1, sha(b""), b"x"), lambda: files.create(place, 1, b"x")):
                with pytest.raises(Outside, match=r"is not a regular file"):
                    work()
        assert names(folder) == ["x.md"]


@pytest.mark.parametrize("replaced", ["root", "above"])
def test_a_root_that_a_link_replaces_is_not_followed(tmp_path: Path, replaced: str) -> None:
    root = tmp_path / "home" / "notes"
    root.mkdir(parents=True)
    outside = tmp_path / "outside"
    (outside / "notes").mkdir(parents=True)
    gone = root if replaced == "root" else root.parent
    gone.rename(tmp_path / "moved")
    gone.symlink_to(outside)
    with pytest.raises(Outside, match="is a link or a file"), open_place([root], root / "a.md", create=True):
        pass
    assert names(outside) == ["notes"]
    assert names(outside / "notes") == []


def test_a_link_that_takes_the_place_of_a_new_folder_changes_no_mode_outside(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    folder.chmod(0o777)
    mkdir = os.mkdir

    def swap_first(name: str, *args: object, **kwargs: object) -> None:
        mkdir(name, *args, **kwargs)  # type: ignore[arg-type]
        monkeypatch.setattr(os, "mkdir", mkdir)
        (folder / "in").rmdir()
        (folder / "in").symlink_to(outside)

    monkeypatch.setattr(os, "mkdir", swap_first)
    with pytest.raises(Outside), open_place([folder], folder / "in" / "a.md", create=True):
        pass
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def test_nothing_outside_the_roots_can_be_named(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").write_text("x")
    for path in (
        outside / "a.md",
        folder,
        folder / ".." / "outside" / "a.md",
        folder / "link" / "a.md",
        folder / "file" / "a.md",
    ):
        with pytest.raises((Outside, EffectFailed)), open_place([folder], path, create=True):
            pass
    assert names(outside) == []


def test_a_link_in_the_place_of_a_file_is_not_followed(note: Place, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"before")
    (folder / "a.md").unlink()
    (folder / "a.md").symlink_to(secret)
    with pytest.raises(Outside, match="symbolic link"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert secret.read_bytes() == b"before"


def test_a_folder_that_becomes_a_link_meanwhile_changes_nothing_outside(folder: Path, tmp_path: Path) -> None:
    inner, outside = folder / "in", tmp_path / "outside"
    inner.mkdir()
    outside.mkdir()
    (inner / "a.md").write_bytes(b"before")
    (outside / "a.md").write_bytes(b"before")
    with open_place([folder], inner / "a.md") as place:
        inner.rename(folder / "moved")
        inner.symlink_to(outside)
        files.replace(place, 1, sha(b"before"), b"after")
    assert (outside / "a.md").read_bytes() == b"before"
    assert (folder / "moved" / "a.md").read_bytes() == b"after"
