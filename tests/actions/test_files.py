"""Effects on files: whole at any moment, never over somebody else's file, and taken up again after a death."""

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentd.actions import files, swap
from agentd.actions.confine import Place, open_place
from agentd.errors import ChangedSince, Conflict, EffectFailed, Outside


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


class Died(BaseException):
    """The process was killed here."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def note(folder: Path) -> Iterator[Place]:
    (folder / "a.md").write_bytes(b"before")
    with open_place([folder], folder / "a.md") as place:
        yield place


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_with_its_mode_and_attributes(note: Place, folder: Path) -> None:
    file = folder / "a.md"
    file.chmod(0o640)
    if hasattr(os, "setxattr"):
        try:
            os.setxattr(file, "user.colour", b"red")
        except OSError:
            pytest.skip("this file system has no extended attributes")
    files.replace(note, 1, sha(b"before"), b"after")
    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    if hasattr(os, "getxattr"):
        assert os.getxattr(file, "user.colour") == b"red"
    assert names(folder) == ["a.md"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(note: Place, folder: Path) -> None:
    os.chown(folder / "a.md", 1234, 4321)
    files.replace(note, 1, sha(b"before"), b"after")
    assert ((folder / "a.md").stat().st_uid, (folder / "a.md").stat().st_gid) == (1234, 4321)


def test_a_file_that_changed_is_not_touched(note: Place, folder: Path) -> None:
    (folder / "a.md").write_bytes(b"mine")
    with pytest.raises(ChangedSince, match="has changed since"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert (folder / "a.md").read_bytes() == b"mine"
    assert names(folder) == ["a.md"]


@pytest.mark.parametrize("how", ["written", "renamed"])
def test_an_edit_between_the_look_and_the_exchange_wins(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    exchange = swap.exchange

    def edit_first(one: Place, other: Place) -> bool:
        monkeypatch.setattr(swap, "exchange", exchange)
        if how == "written":
            (folder / "a.md").write_bytes(b"mine")
        else:
            (folder / "b.md").write_bytes(b"mine")
            (folder / "b.md").rename(folder / "a.md")
        return exchange(one, other)

    monkeypatch.setattr(swap, "exchange", edit_first)
    with pytest.raises(ChangedSince, match="just now"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert (folder / "a.md").read_bytes() == b"mine"
    assert names(folder) == ["a.md"]


STEPS = ["open", "fsync", "unlink", "fchmod", "rename", "replace", "link"]


def die_at(monkeypatch: pytest.MonkeyPatch, step: str, number: int) -> None:
    """Let the `number`th call of a step end the process, before or after it is done by turns."""
    target, name = (swap, "_call") if step == "rename" else (os, step)
    real: Callable[..., object] = getattr(target, name)
    calls = 0

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Died
        done = real(*args, **kwargs)
        if calls == -number:
            raise Died
        return done

    monkeypatch.setattr(target, name, dying)


def perform(kind: str, root: Path) -> None:
    with (
        open_place([root], root / "a.md") as place,
        open_place([root], root / "in" / "b.md", create=True) as other,
    ):
        match kind:
            case "replace":
                files.replace(place, 7, sha(b"before"), b"after")
            case "create":
                files.create(other, 7, b"after")
            case "remove":
                files.remove(place, 7, sha(b"before"))
            case "move":
                files.move(place, other, 7, sha(b"before"))
            case "copy":
                files.copy(place, other, 7, sha(b"before"))


def state(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


ENDS = {
    "replace": {"a.md": b"after"},
    "create": {"a.md": b"before", "in/b.md": b"after"},
    "remove": {},
    "move": {"in/b.md": b"before"},
    "copy": {"a.md": b"before", "in/b.md": b"before"},
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("in_one_step", [True, False], ids=["renameat2", "two steps"])
def test_a_death_at_any_step_leaves_the_file_whole_and_is_taken_up_again(
    tmp_path: Path, kind: str, step: str, in_one_step: bool
) -> None:
    for number in range(1, 30):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "a.md").write_bytes(b"before")
        with pytest.MonkeyPatch.context() as patch:
            if not in_one_step:
                patch.setattr(swap, "_rename", None)
            die_at(patch, step, number)
            try:
                perform(kind, root)
                died = False
            except Died:
                died = True
        for name, raw in state(root).items():
            if not Path(name).name.startswith("."):
                assert raw in (b"before", b"after")
        perform(kind, root)
        assert state(root) == ENDS[kind]
        if not died:
            break
    else:
        raise AssertionError("it never came to its end")
    if number == 1:
        assert not died


def test_a_new_file_never_takes_the_place_of_another(note: Place, folder: Path) -> None:
    with pytest.raises(Conflict, match="there is another file"):
        files.create(note, 1, b"after")
    assert (folder / "a.md").read_bytes() == b"before"
    assert names(folder) == ["a.md"]


def test_a_new_file_is_for_those_who_may_see_its_folder(folder: Path) -> None:
    folder.chmod(0o755)
    umask = os.umask(0o077)
    try:
        with open_place([folder], folder / "in" / "new.md", create=True) as place:
            files.create(place, 1, b"x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((folder / "in").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "in" / "new.md").stat().st_mode) == 0o644


def test_a_move_keeps_the_time_and_never_overwrites(note: Place, folder: Path) -> None:
    os.utime(folder / "a.md", ns=(10**18, 10**18))
    with open_place([folder], folder / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert (folder / "b.md").stat().st_mtime_ns == 10**18
    (folder / "a.md").write_bytes(b"other")
    with open_place([folder], folder / "b.md") as target, pytest.raises(Conflict):
        files.move(note, target, 2, sha(b"other"))
    assert state(folder) == {"a.md": b"other", "b.md": b"before"}


def test_a_move_to_another_file_system_is_a_copy_that_keeps_all(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.md").chmod(0o604)
    os.utime(folder / "a.md", ns=(10**18, 10**18))
    move = swap.move

    def refuse(source: Place, target: Place) -> None:
        if source.name == "a.md" and target.name == "b.md":
            raise OSError(18, "Invalid cross-device link")
        move(source, target)

    monkeypatch.setattr(swap, "move", refuse)
    with open_place([folder], folder / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert state(folder) == {"b.md": b"before"}
    found = (folder / "b.md").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o604, 10**18)


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


@pytest.mark.skipif(sys.platform != "linux", reason="the system call of Linux")
def test_this_system_exchanges_files_in_one_step(note: Place, folder: Path) -> None:
    (folder / "b.md").write_bytes(b"other")
    assert swap.exchange(note, note.beside("b.md"))
    assert state(folder) == {"a.md": b"other", "b.md": b"before"}
