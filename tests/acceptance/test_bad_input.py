"""Everything that can be wrong with an input, at once: each gets its name, the input stays, the rest is done."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon
from tests.waiting import wait_for

BAD = {
    "picture.md": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not-text"),
    "zeros.md": (b"text and\0zeros\n", "not-text"),
    "empty.md": (b"", "empty"),
    "blank.md": (b" \n\n", "empty"),
    "latin.md": (b"# Caf\xe9\n", "bad-encoding"),
    "unclosed.md": (b"---\ntitle: never closed\n\ntext\n", "unclosed-front-matter"),
    "large.txt": (b"word " * 20_000, "too-large"),
}
GOOD = ["two\nlines.md", "\x1b[31mred.md", "plain.md"]


def looks(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, time, size and bytes of everything in a folder."""
    found = {}
    for path in folder.iterdir():
        stat = path.lstat()
        found[path.name] = (
            *(stat.st_mode, stat.st_mtime_ns, stat.st_size),
            path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else b"",
        )
    return found


def put_bad_files(folder: Path) -> dict[str, str]:
    """Every bad file; the reason that each should get."""
    reasons = {}
    for name, (raw, reason) in BAD.items():
        (folder / name).write_bytes(raw)
        reasons[name] = reason
    os.mkfifo(folder / "pipe.md")
    reasons["pipe.md"] = "not-a-file"
    if os.getuid() != 0:
        (folder / "closed.md").write_text("# Closed\n")
        (folder / "closed.md").chmod(0)
        reasons["closed.md"] = "unreadable"
    return reasons


@pytest.fixture
def small_limit(make_daemon: MakeDaemon, tmp_path: Path) -> Daemon:
    """A daemon whose watch takes no file beyond 64 KiB."""
    config = CONFIG.format(folder=tmp_path / "notes", model="fake")
    daemon = make_daemon(config.replace("settle: 100ms", "settle: 100ms, max_size: 64KiB"))
    daemon.start()
    return daemon


def test_bad_files_in_a_watched_folder_fail_by_name_and_the_next_good_one_is_done(
    small_limit: Daemon, tmp_path: Path
) -> None:
    daemon = small_limit
    reasons = put_bad_files(daemon.folder)
    for name in GOOD:
        daemon.write(name, "# Good\n\nText.\n")
    (daemon.folder / "link.md").symlink_to(tmp_path / "home" / "config.yaml")
    (daemon.folder / "loop.md").symlink_to(daemon.folder / "loop.md")
    before = looks(daemon.folder)
    wait_for(lambda: daemon.counts().get("failed", 0) == len(reasons), what=f"{daemon.counts()}")
    daemon.wait_done(3)
    jobs = daemon.json("jobs", "list")
    failed = {Path(job["source"]).name: job for job in jobs if job["state"] == "failed"}
    assert {name: job["reason"] for name, job in failed.items()} == reasons
    assert all(name in job["error"] for name, job in failed.items())
    assert all(job["hint"] for job in failed.values())
    assert {Path(job["source"]).name for job in jobs if job["state"] == "done"} == set(GOOD)
    daemon.write("last.md")
    daemon.wait_done(4)
    (daemon.folder / "last.md").unlink()
    assert looks(daemon.folder) == before
    assert "\x1b" not in daemon.log
    assert f"{daemon.folder}/two\\nlines.md in " in daemon.log
    daemon.stop()


def test_bad_inputs_of_a_run_are_named_one_by_one_and_the_good_one_is_done(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    reasons = put_bad_files(folder)
    del reasons["large.txt"]  # the limit of a watch is not that of a run
    (folder / "large.txt").unlink()
    (folder / "folder.md").mkdir()
    (folder / "link.md").symlink_to(folder / "pipe.md")
    reasons |= {"folder.md": "not-a-file", "link.md": "not-a-file", "missing.md": "vanished"}
    (folder / "good.md").write_text("# Good\n")
    before = looks(folder)
    done = daemon.agentd("run", "note-tagging", *(str(folder / name) for name in [*reasons, "good.md"]), "--json")
    assert done.returncode == 1
    assert [line.split(" ")[0] for line in done.stderr.splitlines()] == ["error:", "next:"] * len(reasons)
    assert "good.md" in done.stdout
    assert dict(daemon.query("SELECT replace(source, ?, ''), reason FROM jobs", [f"{folder}/"])) == {
        **reasons,
        "good.md": None,
    }
    assert looks(folder) == before


def test_a_file_that_vanishes_before_its_turn_fails_as_vanished(daemon: Daemon) -> None:
    child = daemon.child
    hands = daemon.fill_hands()
    gone = daemon.write("gone.md")
    wait_for(lambda: daemon.counts().get("queued", 0))
    gone.unlink()
    child.resume()
    wait_for(lambda: daemon.counts() == {"done": hands, "failed": 1}, what=f"{daemon.counts()}")
    assert daemon.query("SELECT source, reason FROM jobs WHERE state = 'failed'") == [(str(gone), "vanished")]
    daemon.stop()


@pytest.mark.parametrize("content", [None, b"GGUF but nothing more"])
def test_a_model_that_cannot_be_loaded_is_named_and_its_jobs_wait(
    make_daemon: MakeDaemon, tmp_path: Path, content: bytes | None
) -> None:
    model = tmp_path / "model.gguf"
    if content is not None:
        model.write_bytes(content)
    daemon = make_daemon(model=str(model))
    daemon.write("note.md")
    daemon.start(ready=False)
    status = wait_for(lambda: (found := daemon.status()) and found["models"]["main"]["error"] and found)
    assert str(model) in status["models"]["main"]["error"]
    assert not status["ready"]
    shown = daemon.agentd("status")
    assert "not ready" in shown.stdout
    assert str(model) in shown.stdout
    for words in (["run", "note-tagging", str(daemon.folder / "note.md")], ["ask", "what"]):
        refused = daemon.agentd(*words)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"error: {status['models']['main']['error']}")
        assert "\nnext:  " in refused.stderr
    assert daemon.counts() == {"queued": 1}
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0


def test_a_model_that_is_mended_does_what_has_waited(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    from agentd.engine.settings import ModelSettings
    from agentd.engine.weights import find_weights

    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF but nothing more")
    daemon = make_daemon(model=str(model))
    daemon.write("note.md")
    daemon.start(ready=False)
    wait_for(lambda: daemon.counts() == {"queued": 1})
    wait_for(lambda: (found := daemon.status()) and found["models"]["main"]["error"])
    shutil.copy(find_weights(ModelSettings()), tmp_path / "new.gguf")
    (tmp_path / "new.gguf").replace(model)
    daemon.wait_done(1)
    daemon.stop()


def test_a_task_broken_while_the_daemon_runs_shows_in_status_and_recovers_when_mended(daemon: Daemon) -> None:
    task = daemon.home / "tasks" / "note-tagging.md"
    task.write_text("---\nname: note-tagging\ndescripton: typo\n---\nTag it.\n")
    daemon.write("note.md")
    problem = wait_for(lambda: daemon.status()["watches"][0]["problem"], what="a problem")
    assert f"{task}:3: unknown key `descripton`: did you mean `description`?" in problem
    shown = daemon.agentd("status")
    assert f"{task}:3" in shown.stdout
    assert daemon.counts() == {}
    refused = daemon.agentd("run", "note-tagging", str(daemon.folder / "note.md"))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: {task}:")
    assert refused.stderr.endswith("next:  agentd tasks check\n")
    task.write_text(
        "---\nname: note-tagging\ndescription: mended\noutput:\n  word: {type: string}\n---\nOne word.\n"
    )
    daemon.wait_done(1)
    assert daemon.status()["watches"][0]["problem"] is None
    daemon.stop()


def test_unknown_tasks_are_refused_with_the_nearest_name(daemon: Daemon) -> None:
    note = str(daemon.write("note.md"))
    for name, guess in [("note-taging", "did you mean `note-tagging`?"), ("../note-tagging", "no task `../note")]:
        refused = daemon.agentd("run", name, note)
        assert refused.returncode == 1
        assert guess in refused.stderr
        assert refused.stderr.endswith("next:  agentd tasks list\n")
