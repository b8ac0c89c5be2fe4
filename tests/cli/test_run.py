"""`agentd run` and `agentd ask` with no daemon: an engine of their own, the same answers."""

from pathlib import Path

import pytest

from agentd.api.shapes import AnswerShape, JobShape, ResultShape
from agentd.api.status_shapes import StatusShape
from agentd.paths import Paths
from agentd.store import queue
from agentd.store.database import Store
from tests.cli.conftest import Cli
from tests.making import NOW, make_event
from tests.shapes import check_shape

ALONE = "no daemon is running: loading the model for this command alone (agentd start --detach)"


@pytest.fixture
def notes(tmp_path: Path) -> list[Path]:
    """Two notes."""
    found = []
    for name, text in {
        "pears.md": "# Pears\n\nPrune the pear tree in February.\n",
        "bread.md": "# Bread\n\nRye.\n",
    }.items():
        found.append(tmp_path / name)
        found[-1].write_text(text)
    return found


def test_results_come_in_the_order_of_the_paths_and_hold_their_shape(
    cli: Cli, fake: Paths, notes: list[Path]
) -> None:
    ran = cli("run", "note-tagging", *notes, "--json")
    assert ran.code == 0, ran.err
    check_shape(ran.json, list[ResultShape])
    assert [result["source"] for result in ran.json] == list(map(str, notes))
    assert all(result["fake"] and not result["stale"] for result in ran.json)
    assert ran.err.splitlines()[0] == ALONE
    check_shape(cli("results", "--json").json, list[ResultShape])
    check_shape(cli("jobs", "list", "--json").json, list[JobShape])
    check_shape(cli("results", "show", "1", "--json").json, ResultShape)
    check_shape(cli("jobs", "show", "1", "--json").json, JobShape)
    assert cli("results", "list", "--json").json == list(reversed(ran.json))


def test_lists_can_be_narrowed(cli: Cli, fake: Paths, notes: list[Path]) -> None:
    cli("run", "note-tagging", *notes)
    cli("run", "summarise", notes[0], "missing.md")

    def ids(*words: str) -> list[int]:
        return [found["id"] for found in cli(*words, "--json").json]

    assert ids("results") == [3, 2, 1]
    assert ids("results", "--task", "summarise") == ids("results", "list", "--task", "summarise") == [3]
    assert ids("results", "--limit", "1") == [3]
    assert ids("results", "--since", "1h") == [3, 2, 1]
    assert ids("results", "--since", "2999-01-01") == []
    assert ids("jobs", "list") == [4, 3, 2, 1]
    assert ids("jobs", "list", "--state", "failed") == [4]
    assert ids("jobs", "list", "--task", "note-tagging", "--limit", "1") == [2]


def test_a_run_without_a_daemon_leaves_the_backlog_alone(cli: Cli, fake: Paths, notes: list[Path]) -> None:
    store = Store(fake.database)
    db = store._db
    for number in range(3):
        queue.add(db, make_event(f"/backlog/{number}.md", task="note-tagging"), "hash", "main", NOW)
    store.close()
    assert cli("run", "note-tagging", notes[0]).code == 0
    jobs = {job["source"]: job["state"] for job in cli("jobs", "list", "--json").json}
    assert jobs == {f"/backlog/{number}.md": "queued" for number in range(3)} | {str(notes[0]): "done"}


def test_one_bad_path_exits_with_1_and_the_others_are_done(cli: Cli, fake: Paths, notes: list[Path]) -> None:
    ran = cli("run", "note-tagging", notes[0], "missing.md", notes[1])
    assert ran.code == 1
    assert ran.out.count("tags: ") == 2
    assert "error: job 2: there is no file" in ran.err
    assert ran.err.splitlines()[-1].startswith("next:  ls ")
    again = cli("run", "note-tagging", "missing.md", "--json")
    assert (again.code, again.json) == (1, [])


def test_standard_input_is_an_input(cli: Cli, fake: Paths) -> None:
    ran = cli("run", "note-tagging", "-", "--json", stdin=b"# Pears\n\nPrune them.\n")
    assert ran.code == 0
    (result,) = ran.json
    assert result["source"].startswith("stdin:")
    empty = cli("run", "note-tagging", "-", stdin=b"")
    assert empty.code == 1
    assert "stdin is empty" in empty.err
    bad = cli("run", "note-tagging", "-", stdin=b"caf\xe9\n")
    assert bad.code == 1
    assert "standard input is not valid UTF-8: byte 0xe9 in line 1" in bad.err


def test_a_dry_run_shows_the_prompt_and_its_tokens_and_makes_no_job(
    cli: Cli, fake: Paths, notes: list[Path]
) -> None:
    ran = cli("run", "summarise", notes[0], "--dry-run")
    assert ran.code == 0
    assert "Prune the pear tree in February." in ran.out
    assert "You summarise texts." in ran.out
    assert "tokens, room for 7,680: it fits" in ran.err
    shown = cli("run", "summarise", "-", "--dry-run", "--json", stdin=b"word " * 9000).json
    assert set(shown) == {"task", "prompt", "tokens", "room"}
    assert shown["tokens"] > shown["room"]
    assert cli("jobs", "list", "--json").json == []


def test_a_question_is_answered_with_a_checked_quote_or_not_at_all(
    cli: Cli, fake: Paths, notes: list[Path]
) -> None:
    cli("run", "note-tagging", *notes)
    found = cli("ask", "when", "to", "prune", "the", "pear", "tree", "--json")
    assert found.code == 0, found.err
    check_shape(found.json, AnswerShape)
    assert found.json["found"]
    (citation,) = found.json["citations"]
    assert (citation["source"], citation["line"]) == (str(notes[0]), 3)
    assert citation["quote"] in notes[0].read_text()
    assert ALONE in found.err
    shown = cli("ask", "when to prune the pear tree")
    assert f"{notes[0]}:3" in shown.out
    lost = cli("ask", "who won the chess olympiad", "--json")
    assert lost.code == 1
    check_shape(lost.json, AnswerShape)
    assert (lost.json["found"], lost.json["citations"]) == (False, [])
    said = cli("ask", "who won the chess olympiad")
    assert said.code == 1
    assert said.out == "Nothing that was read answers this.\n"
    assert said.err.endswith("next:  agentd results list\n")


def test_jobs_can_be_retried_cancelled_and_run_again_without_a_daemon(
    cli: Cli, fake: Paths, notes: list[Path], tmp_path: Path
) -> None:
    cli("run", "note-tagging", notes[0], tmp_path / "later.md")
    assert cli("jobs", "retry", "2").err == "job 2 is queued\n"
    assert cli("jobs", "cancel", "2").err == "job 2 is cancelled\n"
    for words, message in [
        (["jobs", "cancel", "2"], "job 2 is already cancelled"),
        (["jobs", "retry", "1"], "job 1 is done: only failed, quarantined or cancelled jobs can be retried"),
        (["jobs", "show", "999"], "there is no job 999"),
        (["jobs", "retry", "999"], "there is no job 999"),
        (["results", "show", "999"], "there is no result 999"),
    ]:
        ran = cli(*words)
        assert ran.code == 1
        assert ran.err.startswith(f"error: {message}\nnext:  agentd ")
    assert cli("jobs", "rerun", "--stale").err == "nothing is stale\n"
    (fake.tasks / "note-tagging.md").write_text(
        "---\nname: note-tagging\ndescription: mine\noutput: {gist: {type: string}}\n---\nOne line.\n"
    )
    assert cli("results", "show", "1", "--json").json["stale"]
    assert "(stale, fake)" in cli("results").out
    assert cli("jobs", "rerun", "--stale").err == "1 jobs added: agentd jobs list\n"


def test_status_without_a_daemon_exits_with_3_and_still_counts(cli: Cli, fake: Paths, notes: list[Path]) -> None:
    cli("run", "note-tagging", *notes, "missing.md")
    ran = cli("status", "--json")
    assert ran.code == 3
    check_shape(ran.json, StatusShape)
    assert (ran.json["pid"], ran.json["ready"]) == (None, False)
    assert (ran.json["jobs"]["done"], ran.json["jobs"]["failed"]) == (2, 1)
    shown = cli("status")
    assert shown.code == 3
    assert "agentd is not running" in shown.out
    assert "2 done, 1 failed" in shown.out
    assert shown.err.endswith("next:  agentd start --detach\n")


def test_a_home_where_nothing_happened_says_so(cli: Cli, fake: Paths) -> None:
    assert cli("jobs").err == "no jobs\n"
    assert cli("results").err == "no results: agentd run TASK PATH makes one\n"
    assert cli("jobs", "list", "--json").json == cli("results", "--json").json == []


def test_a_diff_may_come_through_standard_input(cli: Cli, fake: Paths) -> None:
    diff = b"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    ran = cli("run", "code-review", "-", "--json", stdin=diff)
    assert ran.code == 0, ran.err
