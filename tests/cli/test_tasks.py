"""`agentd tasks`: list, show, check."""

from agentd.paths import Paths
from tests.cli.conftest import Cli

SHIPPED = ["code-review", "log-report", "log-triage", "meeting-notes", "note-tagging", "summarise"]
BROKEN = "---\nname: sorting\ndescripton: typo\noutput: {word: {type: string}}\n---\nSort it.\n"


def test_tasks_are_listed_with_the_broken_ones_and_what_is_wrong(cli: Cli, fake: Paths) -> None:
    (fake.tasks / "sorting.md").write_text(BROKEN)
    listed = {task["name"]: task for task in cli("tasks", "list", "--json").json}
    assert set(listed) == {*SHIPPED, "daily-digest", "file-inbox", "sorting"}
    assert listed["summarise"]["error"] is None
    assert set(listed["summarise"]["schema"]["properties"]) == {"title", "key_points", "summary"}
    assert f"{fake.tasks}/sorting.md:3: unknown key `descripton`" in listed["sorting"]["error"]
    table = cli("tasks")
    assert table.code == 0
    assert "broken: " in table.out
    assert "Pick tags for a note" in table.out


def test_a_task_of_ones_own_goes_before_the_shipped_one(cli: Cli, fake: Paths) -> None:
    own = fake.tasks / "summarise.md"
    own.write_text("---\nname: summarise\ndescription: mine\noutput: {gist: {type: string}}\n---\nOne line.\n")
    shown = cli("tasks", "show", "summarise", "--json").json
    assert (shown["description"], shown["file"]) == ("mine", str(own))
    assert "One line." in cli("tasks", "show", "summarise").out


def test_check_names_every_broken_task_and_exits_with_1(cli: Cli, fake: Paths) -> None:
    # What a task needs of the config is told as what is wrong with it.
    first = cli("tasks", "check")
    assert [line for line in first.out.splitlines() if line.startswith("ok")] == [
        f"ok      {name}" for name in SHIPPED
    ]
    assert "the config has no vocabulary `folders`" in first.out
    (fake.tasks / "sorting.md").write_text(BROKEN)
    (fake.tasks / "other.md").write_text(
        BROKEN.replace("sorting", "other")
        .replace("descripton", "description")
        .replace("description: typo", "description: x\nmodel: big")
    )
    ran = cli("tasks", "check")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert "ok      summarise" in lines
    assert any(line.startswith("broken  sorting: ") for line in lines)
    assert "sorting.md:3: unknown key `descripton`" in ran.out
    assert any(line.startswith("broken  other: ") and "no model `big`" in line for line in lines)
    assert ran.err == f"next:  $EDITOR '{fake.tasks}'\n"
    assert cli("tasks", "check", "summarise").code == 0


def test_an_unknown_task_is_refused_with_the_nearest_name(cli: Cli, fake: Paths) -> None:
    ran = cli("tasks", "show", "sumarise")
    assert ran.code == 1
    assert ran.err == "error: there is no task `sumarise`: did you mean `summarise`?\nnext:  agentd tasks list\n"
