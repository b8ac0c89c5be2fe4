"""`agentd tasks new` and `agentd tasks test`: from a starting point to scores."""

from agentd.paths import Paths
from tests.cli.conftest import Cli


def test_a_new_task_can_be_checked_tested_and_run_as_it_is(cli: Cli, fake: Paths) -> None:
    made = cli("tasks", "new", "mood")
    assert (made.code, f"Wrote {fake.tasks}/mood.md" in made.out) == (0, True)
    assert "agentd tasks test mood" in made.err
    assert cli("tasks", "check", "mood").out == "ok      mood\n"
    tested = cli("tasks", "test", "mood", "--json")
    assert tested.code == 0
    (one,) = tested.json
    assert (one["task"], one["model"], one["kv_cache"]) == ("mood", "fake", one["kv_cache"])
    # The fake model always takes the first choice.
    assert one["fields"] == {"mood": {"score": 0.5, "examples": 2}, "title": {"score": 0.0, "examples": 1}}
    table = cli("tasks", "test", "mood")
    assert "mood  mood   50 %" in table.out
    assert "expected sad" in table.out
    assert cli("results", "--json").json == []


def test_all_shipped_tasks_with_examples_are_tested_whatever_the_config_says(cli: Cli, fake: Paths) -> None:
    tested = cli("tasks", "test", "--json")
    assert {one["task"] for one in tested.json} == {
        *("code-review", "daily-digest", "file-inbox", "meeting-notes", "note-tagging", "summarise"),
    }


def test_a_task_that_is_there_is_not_overwritten_and_a_bad_name_is_told(cli: Cli, fake: Paths) -> None:
    cli("tasks", "new", "mood")
    again = cli("tasks", "new", "mood")
    assert (again.code, "is there already" in again.err) == (1, True)
    for name in ("Mood", "../mood", "-x", "a b"):
        assert cli("tasks", "new", "--", name).code == 1
    missing = cli("tasks", "test", "log-triage")
    assert (missing.code, "the task log-triage has no examples" in missing.err) == (1, True)
