"""What belongs to a file stays with it, or the file is left alone."""

import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.actions import attributes, files
from agentd.actions.confine import Place, open_place
from agentd.errors import NotEditable
from tests.actions.looks import give_colour, names, sha, state


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
