"""`agentd backfill` as a person types it, and bursts of files that are one job, by a real daemon."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon
from tests.waiting import wait_for


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        file = folder / f"{number % 7}" / f"old-{number}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# Old {number}\n\nThe note {number} tells of pears.\n")


def test_a_backfill_does_what_is_there_once_and_today_goes_before(daemon: Daemon, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, 300)
    (archive / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (archive / "empty.md").write_text("")
    shown = daemon.agentd("backfill", "note-tagging", str(archive), "--dry-run")
    told = "301 jobs: 301 files, 0 of them done or queued already; 1 more not for note-tagging"
    assert shown.stderr.strip() == told
    assert daemon.counts() == {}
    child = daemon.child
    child.suspend()
    begun = daemon.agentd("backfill", "note-tagging", str(archive), "--detach")
    assert begun.returncode == 0, begun.stderr
    wait_for(lambda: daemon.json("backfill", "show", "1")["state"] == "running", what="all files found")
    daemon.write("today.md")
    wait_for(lambda: daemon.query("SELECT 1 FROM jobs WHERE source LIKE '%today.md'"), what="the job of today")
    child.resume()
    ended = daemon.agentd("backfill", "watch", "1")
    assert (ended.returncode, ended.stderr.strip()) == (
        1,
        "backfill 1 is done: 300/301, 1 failed; 1 not for this task\nnext:  agentd jobs list --backfill 1",
    )
    ahead = daemon.query(
        "SELECT count(*) FROM results WHERE id < (SELECT id FROM results WHERE source LIKE '%today.md')"
    )[0][0]
    assert ahead < 60  # those that were in hand, and one in eight for the oldest
    again = daemon.agentd("backfill", "note-tagging", str(archive))
    assert "backfill 2 is done: 0/1, 1 failed; 300 done or queued before, 1 not for this task" in again.stderr
    wrong = daemon.agentd("backfill", "note-tagging", str(tmp_path / "missing"))
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"error: there is no file or folder {tmp_path}/missing\nnext:  ls {tmp_path}\n",
    )
    assert daemon.agentd("backfill", "note-taging", str(archive)).stderr.startswith("error: there is no task")
    daemon.stop()


def test_a_paused_backfill_survives_a_kill_and_goes_on_where_it_was(daemon: Daemon, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, 200)
    child = daemon.child
    child.suspend()
    assert daemon.agentd("backfill", "note-tagging", str(archive), "--detach").returncode == 0
    wait_for(lambda: daemon.json("backfill", "show", "1")["state"] == "running", what="all files found")
    paused = daemon.agentd("backfill", "pause", "1")
    assert "backfill 1 is paused" in paused.stderr
    child.resume()
    wait_for(lambda: not daemon.counts().get("running"), what="those in hand to be done")
    done = daemon.counts()["done"]
    assert done < 60
    assert daemon.kill() == -signal.SIGKILL
    daemon.start()
    daemon.write("today.md")
    daemon.wait_done(done + 1)
    assert daemon.counts() == {"done": done + 1, "queued": 200 - done}
    (row,) = daemon.json("backfill", "list")
    assert (row["state"], row["done"], row["queued"]) == ("paused", done, 200 - done)
    assert daemon.agentd("backfill", "resume", "1").returncode == 0
    daemon.wait_done(201)
    assert daemon.json("backfill", "show", "1")["state"] == "done"
    ended = daemon.agentd("backfill", "pause", "1")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: backfill 1 is done already\nnext:  agentd backfill show 1\n",
    )
    daemon.stop()


def test_kills_while_files_are_found_lose_none_and_count_none_twice(daemon: Daemon, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, 2000)
    assert daemon.agentd("backfill", "note-tagging", str(archive), "--detach").returncode == 0
    for goal in (1, 500, 1200):
        wait_for(lambda goal=goal: sum(daemon.counts().values()) >= goal, what=f"{goal} jobs")  # type: ignore[misc]
        assert daemon.kill() == -signal.SIGKILL
        daemon.start(ready=False)
    daemon.wait_done(2000)
    daemon.check_once_each(2000)
    daemon.stop()


def test_ctrl_c_leaves_the_backfill_to_the_daemon(daemon: Daemon, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, 50)
    daemon.child.suspend()
    command = subprocess.Popen(
        [sys.executable, "-m", "agentd", "backfill", "note-tagging", str(archive)],
        env=os.environ | {"AGENTD_HOME": str(daemon.home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: daemon.counts().get("running"), what="jobs at work")
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "the daemon goes on: agentd backfill watch 1" in said
    daemon.child.resume()
    daemon.wait_done(50)
    daemon.stop()


def test_without_a_daemon_a_backfill_is_noted_and_done_later(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, 3)
    daemon = make_daemon()
    noted = daemon.agentd("backfill", "note-tagging", str(archive))
    assert noted.returncode == 0, noted.stderr
    assert "backfill 1 is noted; a daemon does it: agentd start --detach" in noted.stderr
    daemon.start()
    daemon.wait_done(3)
    daemon.stop()


def test_a_burst_of_files_is_one_job_and_its_result_says_which_were_seen(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    config = CONFIG.format(folder=tmp_path / "notes", model="fake").replace(
        "task: note-tagging, settle: 100ms", "task: summarise, per: folder, settle: 500ms"
    )
    daemon = make_daemon(config=config)
    daemon.start()
    for name in ("a.md", "sub/b.md", "c.txt"):
        daemon.write(name, f"# {name}\n\nThe last frost in {name} is on 12 May.\n")
    (daemon.folder / "empty.md").write_text("")
    daemon.wait_done(1)
    (result,) = daemon.json("results", "list")
    assert re.fullmatch(rf"{daemon.folder}//[0-9a-f]{{12}}", result["source"])
    shown = daemon.agentd("jobs", "show", "1").stdout
    assert f"source    {daemon.folder}/" in shown or f"{daemon.folder}//" in shown
    assert [line.split("/")[-1] for line in shown.splitlines() if line.startswith("file ")] == [
        *("a.md", "c.txt", "empty.md", "b.md"),
    ]
    assert (result["coverage"]["seen"], result["coverage"]["total"], result["coverage"]["unit"]) == (3, 4, "files")
    assert re.search(r"empty\.md: .*empty", result["coverage"]["missing"][0])
    assert daemon.json("changes", "list") == []
    daemon.write("d.md")
    daemon.wait_done(2)
    assert daemon.counts() == {"done": 2}
    daemon.stop()
