"""Effects on files: whole at any moment, never over somebody else's file, and taken up again after a death."""

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentd.actions import attributes, files, swap
from agentd.actions.confine import Place, open_place
from agentd.errors import ChangedSince, Conflict, EffectFailed, NotEditable, Outside
from tests.actions.dying import Died, Steps


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


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


def give_colour(path: Path) -> bool:
    """Give a file an extended attribute, where this system has any."""
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(path, "user.colour", b"red")
    except OSError as broken:
        if broken.errno != errno.ENOTSUP:
            raise
        return False
    return True


def test_a_file_is_replaced_with_its_mode_and_attributes(note: Place, folder: Path) -> None:
    file = folder / "a.md"
    file.chmod(0o640)
    coloured = give_colour(file)
    files.replace(note, 1, sha(b"before"), b"after")
    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert not coloured or os.getxattr(file, "user.colour") == b"red"
    assert names(folder) == ["a.md"]


def acl(*named: tuple[int, int]) -> bytes:
    """An access list as Linux keeps it: `rw-r-----`, and what users of these numbers may."""
    everybody = 0xFFFFFFFF
    users = [(0x02, may, number) for number, may in named]
    entries = [(0x01, 6, everybody), *users, (0x04, 4, everybody), (0x10, 6, everybody), (0x20, 0, everybody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def set_acl(path: Path, kind: str, value: bytes) -> None:
    if not hasattr(os, "setxattr"):
        pytest.skip("no access lists of Linux here")
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", value)
    except OSError as broken:
        pytest.skip(f"no access lists on this file system: {broken}")


def test_an_access_list_is_kept(note: Place, folder: Path) -> None:
    file = folder / "a.md"
    set_acl(file, "access", acl((1234, 6)))
    before = os.getxattr(file, "system.posix_acl_access")
    files.replace(note, 1, sha(b"before"), b"after")
    assert os.getxattr(file, "system.posix_acl_access") == before


def test_a_private_file_does_not_inherit_the_access_list_of_its_folder(note: Place, folder: Path) -> None:
    file = folder / "a.md"
    file.chmod(0o600)
    set_acl(folder, "default", acl((1234, 6)))
    files.replace(note, 1, sha(b"before"), b"after")
    assert os.listxattr(file) == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_prepared_is_private_until_it_has_the_mode_of_its_file(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.md").chmod(0o600)
    folder.chmod(0o755)
    seen = []
    keep = attributes.keep

    def look_first(source: Place, target: Place, *rest: object, **how: bool) -> None:
        seen.append(stat.S_IMODE((folder / target.name).stat().st_mode))
        keep(source, target, *rest, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(attributes, "keep", look_first)
    files.replace(note, 1, sha(b"before"), b"after")
    assert seen == [0o600]


def test_a_file_whose_owner_could_not_stay_the_same_is_left_alone(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.stat

    def of_another(*args: object, **kwargs: object) -> os.stat_result:
        found = real(*args, **kwargs)  # type: ignore[arg-type]
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "stat", of_another)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(NotEditable, match="belongs to somebody else"):
        files.replace(note, 1, sha(b"before"), b"after")
    monkeypatch.undo()
    assert state(folder) == {"a.md": b"before"}


def test_a_read_only_file_is_left_alone_and_can_be_moved(note: Place, folder: Path) -> None:
    (folder / "a.md").chmod(0o444)
    with pytest.raises(NotEditable, match=r"a\.md is read-only") as told:
        files.replace(note, 1, sha(b"before"), b"after")
    assert told.value.hint.startswith("chmod u+w ")
    assert state(folder) == {"a.md": b"before"}
    with open_place([folder], folder / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert state(folder) == {"b.md": b"before"}


def test_a_step_that_fails_leaves_nothing_behind(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(swap, "_call", refuse)
    with open_place([folder], folder / "b.md") as other:
        for work in (
            lambda: files.replace(note, 1, sha(b"before"), b"after"),
            lambda: files.create(other, 1, b"after"),
            lambda: files.remove(note, 1, sha(b"before")),
            lambda: files.move(note, other, 1, sha(b"before")),
            lambda: files.copy(note, other, 1, sha(b"before")),
        ):
            with pytest.raises(PermissionError):
                work()
            assert state(folder) == {"a.md": b"before"}


@pytest.fixture
def immutable(folder: Path) -> Iterator[Path]:
    """A file that nobody may change, whoever they are."""
    file = folder / "a.md"
    file.write_bytes(b"before")
    if not shutil.which("chattr") or subprocess.run(["chattr", "+i", file], capture_output=True).returncode:
        pytest.skip("files cannot be made immutable here")
    yield file
    subprocess.run(["chattr", "-i", file], check=True)


def test_an_immutable_file_is_left_alone_and_nothing_beside_it(immutable: Path, folder: Path) -> None:
    with open_place([folder], immutable) as place, pytest.raises(PermissionError):
        files.replace(place, 1, sha(b"before"), b"after")
    assert state(folder) == {"a.md": b"before"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.getuid() or sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_tears_nothing_and_keeps_nothing_back(small_disk: Path) -> None:
    (small_disk / "a.md").write_bytes(b"before")
    with open_place([small_disk], small_disk / "a.md") as place, pytest.raises(OSError) as full:
        files.replace(place, 1, sha(b"before"), b"x" * 100_000)
    assert full.value.errno == errno.ENOSPC
    with open_place([small_disk], small_disk / "b.md") as place, pytest.raises(OSError):
        files.create(place, 1, b"x" * 100_000)
    assert state(small_disk) == {"a.md": b"before"}


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


@dataclass(frozen=True)
class Roots:
    """Two folders in which effects may happen, and where one file is and another comes."""

    one: Path
    other: Path

    def perform(self, kind: str) -> None:
        with (
            open_place([self.one], self.one / "a.md") as place,
            open_place([self.other], self.other / "in" / "b.md", create=True) as target,
        ):
            match kind:
                case "replace":
                    files.replace(place, 7, sha(b"before"), b"after", 10**18)
                case "create":
                    files.create(target, 7, b"after")
                case "remove":
                    files.remove(place, 7, sha(b"before"))
                case "move":
                    files.move(place, target, 7, sha(b"before"))
                case "copy":
                    files.copy(place, target, 7, sha(b"before"))

    def state(self) -> dict[str, bytes]:
        return {**state(self.one), **state(self.other)}


def state(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


ENDS = {
    "replace": {"a.md": b"after"},
    "create": {"a.md": b"before", "in/b.md": b"after"},
    "remove": {},
    "move": {"in/b.md": b"before"},
    "copy": {"a.md": b"before", "in/b.md": b"before"},
}
# What each kind cannot do without; a test that misses them would not test much.
NEEDED = {
    "replace": {"open", "fchmod", "utime", "fsync", "_call", "unlink"},
    "create": {"open", "mkdir", "fchmod", "fsync", "_call"},
    "remove": {"open", "_call", "unlink", "fsync"},
    "move": {"open", "mkdir", "_call", "fsync"},
    "copy": {"open", "mkdir", "fchmod", "utime", "fsync", "_call"},
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def die_everywhere(kind: str, make: Callable[[str], Roots], *, in_one_step: bool, done: bool) -> set[str]:
    """Do it with a death at each of its steps in turn, and take it up again; the steps that there were."""
    at = 0
    while True:
        at += 1
        roots = make(f"{at}")
        (roots.one / "a.md").write_bytes(b"before")
        give_colour(roots.one / "a.md")
        died = False
        with pytest.MonkeyPatch.context() as patch:
            if not in_one_step:
                patch.setattr(swap, "_rename", None)
            steps = Steps(patch, at, done=done)
            try:
                roots.perform(kind)
            except Died:
                died = True
        seen = {name: raw for name, raw in roots.state().items() if not Path(name).name.startswith(".")}
        assert all(raw in (b"before", b"after") for raw in seen.values())
        assert seen or kind == "remove"
        if kind not in ("move", "remove"):
            assert "a.md" in seen
        roots.perform(kind)
        assert roots.state() == ENDS[kind]
        roots.perform(kind)
        assert roots.state() == ENDS[kind]
        if not died:
            assert at == len(steps.names) + 1
            return set(steps.names)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("in_one_step", [True, False], ids=["renameat2", "two steps"])
def test_a_death_at_any_step_leaves_the_file_whole_and_is_taken_up_again(
    tmp_path: Path, kind: str, done: bool, in_one_step: bool
) -> None:
    def make(name: str) -> Roots:
        root = tmp_path / name
        root.mkdir()
        return Roots(root, root)

    steps = die_everywhere(kind, make, in_one_step=in_one_step, done=done)
    assert steps >= NEEDED[kind]


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("kind", ["move", "copy"])
def test_a_death_on_the_way_to_another_file_system_loses_nothing_and_doubles_nothing(
    tmp_path: Path, elsewhere: Path, kind: str, done: bool
) -> None:
    def make(name: str) -> Roots:
        roots = Roots(tmp_path / name, elsewhere / name)
        roots.one.mkdir()
        roots.other.mkdir()
        return roots

    steps = die_everywhere(kind, make, in_one_step=True, done=done)
    assert steps >= NEEDED["copy"] | ({"unlink"} if kind == "move" else set())


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
    note: Place, folder: Path, elsewhere: Path
) -> None:
    (folder / "a.md").chmod(0o604)
    os.utime(folder / "a.md", ns=(10**18, 10**18 + 1))
    give_colour(folder / "a.md")
    with open_place([elsewhere], elsewhere / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({}, {"b.md": b"before"})
    found = (elsewhere / "b.md").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o604, 10**18 + 1)
    with open_place([elsewhere], elsewhere / "b.md") as target:
        files.move(target, note, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({"a.md": b"before"}, {})
    assert (folder / "a.md").stat().st_mtime_ns == 10**18 + 1


def test_what_a_death_left_aside_is_given_back_where_it_is_somebody_elses(note: Place, folder: Path) -> None:
    spare = folder / ".agentd-7.tmp"
    # Removed in one step, and only then seen to be another file.
    (folder / "a.md").rename(spare)
    spare.write_bytes(b"mine")
    with pytest.raises(ChangedSince, match="just now"):
        files.remove(note, 7, sha(b"before"))
    assert state(folder) == {"a.md": b"mine"}
    # … while there is a newer one of that name.
    (folder / "a.md").rename(spare)
    (folder / "a.md").write_bytes(b"newer")
    with pytest.raises(ChangedSince, match="just now"):
        files.remove(note, 7, sha(b"before"))
    assert state(folder) == {"a.md": b"newer", "a (kept 1).md": b"mine"}


def test_two_edits_around_an_exchange_are_both_kept(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = swap.exchange

    def edit_around(one: Place, other: Place) -> bool:
        monkeypatch.setattr(swap, "exchange", exchange)
        (folder / "a.md").write_bytes(b"mine")
        done = exchange(one, other)
        (folder / "a.md").write_bytes(b"newer")
        return done

    monkeypatch.setattr(swap, "exchange", edit_around)
    with pytest.raises(ChangedSince, match="just now"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert sorted(state(folder).values()) == [b"mine", b"newer"]
    assert not [name for name in names(folder) if name.startswith(".")]


def test_an_edit_during_a_move_stays_in_its_place(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = swap.move

    def edit_first(source: Place, target: Place) -> None:
        monkeypatch.setattr(swap, "move", move)
        (folder / "a.md").write_bytes(b"mine")
        move(source, target)

    monkeypatch.setattr(swap, "move", edit_first)
    with open_place([folder], folder / "b.md") as target, pytest.raises(ChangedSince, match="just now"):
        files.move(note, target, 1, sha(b"before"))
    assert state(folder) == {"a.md": b"mine"}


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


def test_a_copy_that_was_begun_goes_where_its_file_changed_since(
    note: Place, folder: Path, elsewhere: Path
) -> None:
    (elsewhere / ".agentd-1.tmp").write_bytes(b"bef")
    (folder / "a.md").write_bytes(b"mine")
    with open_place([elsewhere], elsewhere / "b.md") as target, pytest.raises(ChangedSince):
        files.move(note, target, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({"a.md": b"mine"}, {})


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
