"""A file in a watched folder, as its owner sees it: dropped, edited, renamed, returned, done anew."""

from pathlib import Path

from agentd.api.shapes import AnswerShape, JobShape, ResultShape
from agentd.api.status_shapes import StatusShape
from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.shapes import check_shape
from tests.waiting import wait_for

TASK = "---\nname: note-tagging\ndescription: mine\noutput: {{{key}: {{type: string}}}}\n---\nOne line.\n"


def test_a_dropped_file_becomes_a_result(daemon: Daemon) -> None:
    note = daemon.write("note.md", "# Garden\n\nPrune the pear tree in February.\n")
    daemon.wait_done(1)
    (result,) = daemon.json("results", "list")
    check_shape(result, ResultShape)
    assert result["source"] == str(note)
    assert result["output"]["tags"] == ["garden"]
    assert (result["fake"], result["stale"]) == (True, False)
    assert result["coverage"] == {"seen": 3, "total": 3, "unit": "lines", "tokens": 0, "missing": []}
    status = daemon.json("status")
    check_shape(status, StatusShape)
    assert (status["pid"], status["ready"], status["jobs"]["done"]) == (daemon.pid, True, 1)
    shown = daemon.agentd("status").stdout
    assert f"is ready (pid {daemon.pid}, up " in shown
    assert f"watch {daemon.folder} → note-tagging" in shown
    daemon.stop()


def test_a_run_goes_through_the_daemon_where_there_is_one(daemon: Daemon, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.md" for name in "abc"]
    for file in files:
        file.write_text(f"# {file.name}\n\nPrune the pear tree in February.\n")
    done = daemon.agentd("run", "note-tagging", *map(str, files), "-", "--json", stdin="# Given\n\nText.\n")
    assert (done.returncode, done.stderr) == (0, "")
    results = daemon.json("results")
    check_shape(results, list[ResultShape])
    *named, piped = sorted(result["source"] for result in results)
    assert named == list(map(str, files))
    assert piped.startswith("stdin:")
    assert daemon.query("SELECT DISTINCT priority FROM jobs") == [(0,)]
    shown = daemon.agentd("run", "note-tagging", str(files[0]), "missing.md")
    assert shown.returncode == 1
    assert "[2/2]" in shown.stderr
    assert "no daemon" not in shown.stderr
    assert shown.stdout.count("tags: none") == 1
    dry = daemon.json("run", "summarise", str(files[0]), "--dry-run")
    assert "Prune the pear tree" in dry["prompt"]
    assert 0 < dry["tokens"] < dry["room"]
    check_shape(daemon.json("ask", "when to prune the pear tree"), AnswerShape)
    check_shape(daemon.json("ask", "who won the chess olympiad", code=1), AnswerShape)
    daemon.stop()


def test_the_same_content_is_done_once_and_an_edit_and_its_return_each_again(daemon: Daemon) -> None:
    note = daemon.write("note.md", "# First\n")
    daemon.wait_done(1)
    for count, text in enumerate(["# Second\n", "# First\n"], 2):
        note.write_text(text)
        daemon.wait_done(count)
    note.touch()
    daemon.write("next.md")
    daemon.wait_done(4)
    assert daemon.query("SELECT count(*), count(DISTINCT content) FROM jobs WHERE source = ?", [str(note)]) == [
        (3, 2)
    ]
    daemon.kill()
    daemon.start()
    daemon.write("last.md")
    daemon.wait_done(5)
    assert daemon.counts() == {"done": 5}
    daemon.stop()


def test_a_renamed_file_takes_its_result_along_also_while_the_daemon_is_down(daemon: Daemon) -> None:
    before = daemon.write("before.md")
    daemon.wait_done(1)
    renamed = before.rename(daemon.folder / "renamed.md")
    wait_for(lambda: daemon.query("SELECT source FROM results") == [(str(renamed),)], what="a renamed result")
    daemon.stop()
    (daemon.folder / "inner").mkdir()
    moved = renamed.rename(daemon.folder / "inner" / "moved.md")
    daemon.start()
    wait_for(lambda: daemon.query("SELECT source FROM results") == [(str(moved),)], what="a moved result")
    assert daemon.query("SELECT source, state FROM jobs") == [(str(moved), "done")]
    daemon.stop()


def test_an_edited_task_makes_results_stale_and_a_rerun_makes_them_new(daemon: Daemon) -> None:
    for index in range(3):
        daemon.write(f"note-{index}.md")
    daemon.wait_done(3)
    task = daemon.home / "tasks" / "note-tagging.md"
    task.write_text(TASK.format(key="gist"))
    assert [result["stale"] for result in daemon.json("results")] == [True] * 3
    assert daemon.agentd("jobs", "rerun", "--stale").stderr == "3 jobs added: agentd jobs list\n"
    daemon.wait_done(6)
    results = daemon.json("results")
    assert [result["stale"] for result in results] == [False] * 3 + [True] * 3
    assert all(list(result["output"]) == ["gist"] for result in results[:3])
    assert daemon.agentd("jobs", "rerun", "--stale").stderr == "nothing is stale\n"
    daemon.stop()


def test_jobs_are_retried_and_cancelled_through_the_daemon(daemon: Daemon) -> None:
    daemon.write("note.md", "---\ntitle: never closed\n")
    wait_for(lambda: daemon.counts() == {"failed": 1})
    child = daemon.child
    hands = daemon.fill_hands()
    assert daemon.agentd("jobs", "retry", "1").stderr == "job 1 is queued\n"
    assert daemon.json("jobs", "show", "1")["position"] == 1
    assert daemon.agentd("jobs", "cancel", "1", "2").stderr == "job 1 is cancelled\njob 2 is cancelled\n"
    child.resume()
    daemon.write("last.md")
    daemon.wait_done(hands)
    jobs = daemon.json("jobs", "list")
    check_shape(jobs, list[JobShape])
    assert {job["id"]: job["reason"] for job in jobs if job["state"] == "cancelled"} == dict.fromkeys(
        (1, 2), "cancelled"
    )
    assert daemon.counts() == {"done": hands, "cancelled": 2}
    daemon.stop()


def test_existing_files_are_counted_aloud_and_skipped_where_the_config_says_so(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    daemon = make_daemon()
    config = (daemon.home / "config.yaml").read_text()
    (daemon.home / "config.yaml").write_text(config.replace("settle:", "existing: skip, settle:"))
    for index in range(5):
        daemon.write(f"old-{index}.md")
    daemon.start()
    assert "5 files are there already and are skipped (existing: skip)" in daemon.log
    daemon.write("new.md")
    daemon.wait_done(1)
    daemon.kill()
    daemon.write("while-away.md")
    daemon.start()
    daemon.wait_done(2)
    (daemon.folder / "old-0.md").write_text("# Edited\n")
    daemon.wait_done(3)
    done = {Path(source).name for (source,) in daemon.query("SELECT source FROM results")}
    assert done == {"new.md", "while-away.md", "old-0.md"}
    daemon.stop()
