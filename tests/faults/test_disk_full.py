"""Fault 6: the disk is full, under the database or under the notes. It is a small one that is really mounted.

Expected outcome: the daemon stays up, answers and says so; nothing is torn, and nothing is left lying about; once
there is room again, everything is done once.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import CONFIG, Daemon
from tests.acceptance.test_changes import config
from tests.faults.hurry import end_backoffs
from tests.waiting import wait_for

MIB = 1024**2
FILLER = ".filler"


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes in this place."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.splitlines()[0]}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with (folder / FILLER).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def make_room(folder: Path) -> None:
    (folder / FILLER).unlink()


def test_a_full_disk_under_the_database_is_told_and_everything_is_done_once_there_is_room(
    home: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with small_disk(home, 32 * MIB):
        (home / "test.log").symlink_to(tmp_path / "daemon.log")  # the log is not what is tested
        daemon = Daemon(home, notes, CONFIG.format(folder=notes, model="fake"))
        try:
            daemon.start()
            daemon.write("before.md")
            daemon.wait_done(1)
            fill(home)
            for number in range(20):  # far more than the write-ahead log has room for
                daemon.write(f"note-{number}.md", f"# Note {number}\n\n" + f"{number} tells of pears.\n" * 5000)
            wait_for(lambda: "no space left for the database" in daemon.log, 60, "a word about it")
            assert daemon.status()["ready"]
            assert daemon.agentd("results").returncode == 0
            make_room(home)
            wait_for(lambda: len(daemon.query("SELECT DISTINCT source FROM results")) == 21, 120, "all results")
            assert daemon.query("SELECT count(*) FROM results") == [(21,)]
            assert daemon.query("PRAGMA integrity_check") == [("ok",)]
            daemon.stop()
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def test_a_full_disk_under_the_notes_tears_none_and_the_change_is_made_once_there_is_room(
    home: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with small_disk(notes, MIB):
        daemon = Daemon(home, notes, config(notes, "auto"))
        try:
            daemon.start()
            child = daemon.child
            child.suspend()
            text = "# Garden\n\nSow.\n" + "Peas and beans.\n" * 2000
            note = daemon.write("garden.md", text)
            wait_for(lambda: daemon.counts().get("running"), what="the note in hand")
            fill(notes)
            child.resume()
            told = "SELECT state, reason FROM changes"
            wait_for(lambda: daemon.query(told) == [("planned", "no-space")], what="a change that waits for room")
            assert note.read_text() == text
            assert sorted(path.name for path in notes.iterdir()) == [FILLER, "garden.md"]
            assert "no space left" in daemon.log
            make_room(notes)
            end_backoffs(daemon)
            wait_for(lambda: daemon.query("SELECT state FROM changes") == [("applied",)], what="the change")
            assert note.read_text().endswith(text)
            assert note.read_text().count("garden\n") == 1
            assert [path.name for path in notes.iterdir()] == ["garden.md"]
            daemon.check_once_each(1)
            daemon.stop()
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()
