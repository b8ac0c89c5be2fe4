import sys
import time
from pathlib import Path

import pytest
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

from agentd.doctor.limits import Use, check_inotify, count_folders, held_by, judge, taken
from tests.doctor.conftest import FAKE, FindHome, levels

linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no inotify here")


@pytest.mark.parametrize(
    ("limit", "others", "wanted", "level"),
    [(8192, 100, 1000, "ok"), (8192, 100, 7000, "warning"), (8192, 1200, 7000, "error"), (128, 0, 200, "error")],
)
def test_what_is_wanted_is_held_against_the_limit_and_what_others_take(
    limit: int, others: int, wanted: int, level: str
) -> None:
    (found,) = judge(Use("max_user_watches", limit, others, wanted))
    assert found.level == level
    assert found.told.startswith(f"{wanted:,} wanted, {others:,} taken by other programs, of {limit:,}")


def test_a_limit_that_is_too_low_comes_with_what_raises_it_for_good() -> None:
    (found,) = judge(Use("max_user_watches", 8192, 1000, 20_000))
    assert found.hint == (
        "echo fs.inotify.max_user_watches=65536 | sudo tee -a /etc/sysctl.d/60-agentd.conf && sudo sysctl --system"
    )
    (found,) = judge(Use("max_user_watches", 1_000_000, 0, 5), counted=False)
    assert (found.level, found.told[:8]) == ("warning", "at least"), "more folders than could be counted"


def test_folders_are_counted_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert count_folders(tmp_path, time.monotonic() + 60) == 4
    assert count_folders(tmp_path, time.monotonic() - 1) == 0


@linux
def test_what_this_process_watches_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = held_by(Path("/proc/self"))
    observer = Observer()
    observer.schedule(FileSystemEventHandler(), str(tmp_path), recursive=True)
    observer.start()
    try:
        now = held_by(Path("/proc/self"))
        assert (now[0] - before[0], now[1] - before[1]) == (1, 3)
        assert taken(None) >= now
    finally:
        observer.stop()
        observer.join()
    assert held_by(Path("/proc/none")) == (0, 0)


@linux
def test_both_limits_of_this_machine_are_looked_at(find: FindHome, tmp_path: Path) -> None:
    home = find(f"{FAKE}watch: [{{path: {tmp_path}, task: summarise}}]\n")
    assert set(levels(check_inotify(home))) == {"max_user_watches", "max_user_instances"}
