from pathlib import Path

import pytest

from agentd.api.schedule_shapes import FiringShape, ScheduleShape
from agentd.api.shapes import JobShape
from agentd.paths import Paths
from tests.cli.conftest import CONFIG, Cli
from tests.shapes import check_shape

SCHEDULES = """\
schedule:
  - {task: daily-digest, cron: "0 7 * * *"}
  - {task: summarise, name: berlin, cron: "30 2 * * *", timezone: Europe/Berlin, input: nothing}
actions: {targets: {digests: ~/digests}}
"""


@pytest.fixture
def scheduled(fake: Paths) -> Paths:
    fake.config.write_text(CONFIG + SCHEDULES)
    return fake


def test_without_schedules_it_says_where_they_are_written(cli: Cli, fake: Paths) -> None:
    ran = cli("schedule")
    assert (ran.code, ran.out) == (0, "")
    assert "agentd config path" in ran.err
    assert cli("schedule", "--json").json == []
    assert "no schedules" in cli("schedule", "next").err


def test_the_list_works_without_a_daemon_and_its_json_has_its_shape(cli: Cli, scheduled: Paths) -> None:
    ran = cli("schedule")
    digest, berlin = ran.out.splitlines()[1:]
    assert digest.split()[:2] == ["daily-digest", "daily-digest"]
    assert "every day at 07:00  " in digest
    assert "every day at 02:30 (Europe/Berlin)  never" in berlin
    shapes = cli("schedule", "list", "--json").json
    for shape in shapes:
        check_shape(shape, ScheduleShape)
    assert [shape["state"] for shape in shapes] == ["waiting", "waiting"]


def test_the_next_five_times_are_told_on_this_machines_clock_and_the_schedules(cli: Cli, scheduled: Paths) -> None:
    assert len(cli("schedule", "next").out.splitlines()) == 1 + 2 * 5
    shapes = cli("schedule", "next", "berlin", "-n", "400", "--json").json
    assert len(shapes) == 400
    for shape in shapes:
        check_shape(shape, FiringShape)
    changes = [shape for shape in shapes if shape["clock_change"]]
    assert len(changes) >= 2
    assert {shape["shown"][11:16] for shape in shapes} == {"02:30", "03:30"}
    assert all(("03:30" in one["shown"]) == (one["clock_change"] == 1.0) for one in shapes)
    told = cli("schedule", "next", "berlin", "-n", "400").out
    assert "the clock goes forward by 1 h that day" in told
    assert "the clock goes back by 1 h that day" in told


def test_a_run_without_a_daemon_is_a_job_that_waits_for_one(cli: Cli, scheduled: Paths) -> None:
    ran = cli("schedule", "run", "berlin")
    assert (ran.code, ran.err) == (0, "job 1 of berlin is queued: agentd jobs show 1\n")
    job = cli("schedule", "run", "berlin", "--json").json
    check_shape(job, JobShape)
    assert job["occasion"].startswith("berlin run 20")
    assert cli("schedule", "list", "--json").json[1]["job"] == job["id"]
    assert "job 2 queued" in cli("schedule").out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "berlim"), 1, "there is no schedule `berlim`: did you mean `berlin`?"),
        (("next", "zzz"), 1, "there is no schedule `zzz`: the config has daily-digest, berlin"),
        (("run", "daily-digest"), 1, "daily-digest was not run: nothing new"),
        (("run",), 2, "Missing argument 'NAME'"),
        (("nxt",), 2, "did you mean `next`?"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_next_command(
    cli: Cli, scheduled: Paths, words: tuple[str, ...], code: int, told: str
) -> None:
    ran = cli("schedule", *words)
    assert ran.code == code
    assert told in ran.err
    assert "next:  agentd schedule" in ran.err


def test_a_wrong_cron_is_told_with_its_line_and_an_example(cli: Cli, scheduled: Paths) -> None:
    scheduled.config.write_text((CONFIG + SCHEDULES).replace("0 7 * * *", "0 7 * *"))
    ran = cli("schedule")
    line = CONFIG.count("\n") + 2
    assert ran.code == 4
    assert f"{scheduled.config}:{line}: `schedule.0.cron`: '0 7 * *' has 4 fields" in ran.err
    assert 'write it like "0 7 * * 1-5"' in ran.err


def test_a_task_that_cannot_be_used_is_told(cli: Cli, scheduled: Paths, tmp_path: Path) -> None:
    scheduled.config.write_text(CONFIG + SCHEDULES.replace("digests:", "other:"))
    assert "note:  daily-digest waits: " in cli("schedule").err
    assert "the config has no target `digests`" in cli("schedule").err
