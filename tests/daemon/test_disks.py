import os
from pathlib import Path

import pytest

from agentd.daemon.disks import Disk, read_disks

GIB = 1024**3


def disk(free: int, total: int = 100 * GIB, free_files: int = 1000, total_files: int = 1000) -> Disk:
    return Disk(Path("/data"), ("the database", "converted models"), free, total, free_files, total_files)


def test_folders_on_one_file_system_are_one_disk_with_its_real_room(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    folders = [(tmp_path, "the database"), (tmp_path / "notes", "the watched folder")]
    (found,) = read_disks(folders)
    assert (found.path, found.holds) == (tmp_path, ("the database", "the watched folder"))
    told = os.statvfs(tmp_path)
    assert found.total == told.f_blocks * told.f_frsize
    assert 0 < found.free <= found.total


def test_a_folder_that_is_not_there_counts_as_the_one_it_would_be_made_in(tmp_path: Path) -> None:
    (found,) = read_disks([(tmp_path / "a" / "b", "the models")])
    assert found.path == tmp_path


@pytest.mark.parametrize(
    ("found", "low", "out"),
    [
        (disk(50 * GIB), False, False),
        (disk(GIB), False, False),
        (disk(GIB // 4), True, False),
        (disk(GIB // 100), True, True),
        (disk(GIB // 50, total=GIB // 10), False, False),  # a small disk may be small
        (disk(GIB // 1000, total=GIB // 10), True, False),
        (disk(0, total=GIB // 10), True, True),
        (disk(50 * GIB, free_files=5), True, False),
        (disk(50 * GIB, free_files=0), True, True),
        (disk(50 * GIB, free_files=0, total_files=0), False, False),  # such as btrfs, which makes them as needed
    ],
)
def test_a_disk_is_low_by_bytes_or_by_files_and_a_small_one_by_its_share(
    found: Disk, low: bool, out: bool
) -> None:
    assert (found.low, found.out) == (low, out)


def test_a_disk_tells_what_is_left_and_of_what() -> None:
    assert disk(GIB // 4).told() == "the disk of the database, converted models has room for 256 MiB only"
    assert disk(50 * GIB, free_files=5).told().endswith("has room for 5 files only")
