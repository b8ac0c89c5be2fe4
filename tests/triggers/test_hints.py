"""Where the system's events are worth nothing, and who is told that."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from agentd.triggers.hints import identify, network_type

MOUNTS = [
    ("/", "ext4"),
    ("/mnt/nas", "nfs4"),
    ("/mnt/nas/local", "xfs"),
    ("/mnt/nas-too", "ext4"),
    ("/home/me/server", "fuse.sshfs"),
    ("/home/me/stick", "cifs"),
    ("/home/me/stick", "vfat"),
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/notes", None),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/notes", "nfs4"),
        ("/mnt/nas/local/notes", None),
        ("/mnt/nas-too", None),
        ("/home/me/server/a/b", "fuse.sshfs"),
        ("/home/me/stick", None),
    ],
)
def test_a_network_file_system_is_known_by_the_innermost_and_last_mount(
    folder: str, kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [SimpleNamespace(mountpoint=place, fstype=fstype) for place, fstype in MOUNTS]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert network_type(Path(folder)) == kind


def test_a_folder_of_this_machine_is_none(tmp_path: Path) -> None:
    assert network_type(tmp_path) is None


def test_a_folder_that_was_made_anew_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    same = identify(folder)
    assert same()
    folder.rename(tmp_path / "b")
    assert not same()
    folder.mkdir()
    assert not same()
