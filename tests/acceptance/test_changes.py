"""Changes to real notes by a real daemon, which is killed at random moments of it."""

import hashlib
import os
import random
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake}}
watch:
  - {{path: "{folder}", task: note-tagging, settle: 50ms, apply: {apply}}}
vocabularies:
  tags: [python, garden, kitchen]
"""
HEADERS = [
    b"",
    b"---\ntitle: 'x'  # keep\n---\n",
    b"\xef\xbb\xbf---\r\ntitle: x\r\ntags: []\r\n---\r\n",
    b"---\nlist:\n- a\n- b # c\n\n# comment\n---\n",
]


def config(folder: Path, apply: str) -> str:
    return CONFIG.format(folder=folder, apply=apply)


def write_notes(folder: Path, count: int) -> dict[Path, tuple[bytes, int]]:
    """Notes about a garden, of several styles; what they are before anything happens."""
    made = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        note = folder / f"{number % 7}" / f"note-{number}.md"
        note.parent.mkdir(exist_ok=True)
        raw = HEADERS[number % len(HEADERS)] + f"# Garden {number}\nSow.\n".encode()
        note.write_bytes(raw)
        os.utime(note, ns=(10**18 + number, 10**18 + number))
        made[note] = (raw, 10**18 + number)
    return made


def applied(daemon: Daemon) -> int:
    ((count,),) = daemon.query_early("SELECT count(*) FROM changes WHERE state = 'applied'") or [(0,)]
    return int(count)


def kill_while_applying(daemon: Daemon, rng: random.Random, *, kills: int, files: int) -> None:
    """Let the daemon tag notes of its own accord and die meanwhile; then take everything back."""
    notes = write_notes(daemon.folder, files)
    hit = 0
    for number in range(kills):
        daemon.start(ready=False)
        goal = min(applied(daemon) + 1 + rng.randrange(max(files // kills, 1) + 1), files)
        wait_for(lambda goal=goal: applied(daemon) >= goal, 60, f"kill {number}: {goal} changes")
        for _ in range(rng.randrange(6)):
            applied(daemon)
        assert daemon.kill() == -signal.SIGKILL
        hit += daemon.query("SELECT count(*) FROM changes WHERE state = 'applying'")[0][0]
    daemon.start()
    wait_for(lambda: applied(daemon) == files, 120, "all changes")
    assert daemon.query("SELECT state, count(*) FROM changes GROUP BY state") == [("applied", files)]
    assert daemon.query("SELECT count(DISTINCT path), max(attempts) FROM changes") == [(files, 1)]
    for note, (raw, _) in notes.items():
        tagged = note.read_bytes()
        assert tagged.count(b"garden") == 1, tagged
        assert tagged.endswith(raw.rpartition(b"---")[2].lstrip(b"\r\n"))
    # What we wrote is no news to us.
    daemon.check_once_each(files)
    assert not list(daemon.folder.rglob(".*"))
    undone = daemon.agentd("changes", "undo", "--all")
    assert undone.returncode == 0, undone.stderr[-2000:]
    assert f"{files:,} of {files:,} changes undone" in undone.stderr
    for note, (raw, mtime_ns) in notes.items():
        assert (note.read_bytes(), note.stat().st_mtime_ns) == (raw, mtime_ns)
    print(f"{hit} of {kills} kills hit a change that was being made")
    daemon.stop()


def test_twelve_kills_while_notes_are_tagged_tear_double_and_lose_nothing(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    daemon = make_daemon(config=config(tmp_path / "notes", "auto"))
    kill_while_applying(daemon, rng, kills=12, files=120)


@pytest.mark.slow
def test_three_hundred_kills_while_a_thousand_notes_are_tagged_tear_double_and_lose_nothing(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    daemon = make_daemon(config=config(tmp_path / "notes", "auto"))
    kill_while_applying(daemon, rng, kills=300, files=1000)


@pytest.mark.parametrize("name", ["a.md", "a.txt"])
def test_changes_wait_for_review_and_a_correction_by_the_owner_is_never_fought(
    make_daemon: MakeDaemon, tmp_path: Path, name: str
) -> None:
    daemon = make_daemon(config=config(tmp_path / "notes", "review"))
    daemon.start()
    note = daemon.write(name, "# Garden\n\nSow.\n")
    daemon.wait_done(1)
    assert note.read_text() == "# Garden\n\nSow.\n"
    done = daemon.agentd("changes", "apply", "--all")
    assert (done.returncode, "change 1 applied" in done.stderr) == (0, True)
    assert "  - garden\n" in note.read_text()
    # The owner knows better.
    note.write_text(note.read_text().replace("garden", "kitchen"))
    daemon.wait_done(2)
    other = daemon.write("b.md", "# Another\n")
    daemon.wait_done(3)
    assert [row["id"] for row in daemon.json("changes", "list", "--state", "planned")] == []
    assert "kitchen" in note.read_text()
    assert hashlib.sha256(other.read_bytes()).hexdigest() == hashlib.sha256(b"# Another\n").hexdigest()
    daemon.stop()


def test_two_tasks_of_one_folder_change_the_same_notes_and_neither_is_lost(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    daemon = make_daemon(
        config=config(folder, "auto").replace(
            "vocabularies:", f'  - {{path: "{folder}", task: mood, settle: 50ms, apply: auto}}\nvocabularies:'
        )
    )
    (daemon.home / "tasks").mkdir(exist_ok=True)
    (daemon.home / "tasks" / "mood.md").write_text(
        "---\nname: mood\ndescription: Say the mood\noutput:\n  mood: {enum: [glad, sad]}\n"
        'actions:\n  - frontmatter: {set: {mood: "{{ mood }}"}}\n---\nSay the mood of the note.\n'
    )
    notes = write_notes(folder, 40)
    daemon.start()
    wait_for(lambda: applied(daemon) == 80, 60, "two changes of every note")
    for note, (raw, _) in notes.items():
        text = note.read_text("utf-8-sig")
        assert "garden" in text, text
        assert "\nmood: " in text
        assert note.read_bytes().endswith(raw.rpartition(b"---")[2].lstrip(b"\r\n"))
    # Neither is news to the other.
    assert daemon.query("SELECT count(*), count(DISTINCT task || source) FROM jobs") == [(80, 80)]
    assert daemon.counts() == {"done": 80}
    undone = daemon.agentd("changes", "undo", "--all")
    assert undone.returncode == 0, undone.stderr[-2000:]
    for note, (raw, mtime_ns) in notes.items():
        assert (note.read_bytes(), note.stat().st_mtime_ns) == (raw, mtime_ns)
    daemon.stop()
