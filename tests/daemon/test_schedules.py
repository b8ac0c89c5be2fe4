"""Schedules with a clock of their own, on a real store."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentd.daemon.agent import Agent
from agentd.daemon.schedules import LOOK_SECONDS, Schedules
from agentd.daemon.settings import load_config
from agentd.errors import AgentdError, NotFound
from agentd.records import Job, JobState
from agentd.store import bundles, documents, logs, queue, results, schedules
from agentd.store.schedules import Firing
from tests.daemon.conftest import CONFIG
from tests.making import make_document, make_event, make_result
from tests.store.learned import delta, finding, pattern

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 5, 4, 3, tzinfo=UTC)
SEVEN = datetime(2026, 5, 4, 7, tzinfo=UTC)

TASK = "---\nname: digest\ndescription: Sum up\noutput:\n  text: {type: string, maxLength: 80}\n---\nSum up.\n"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def configure(agent: Agent, *lines: str) -> None:
    """Take these schedules, as a reload does."""
    (agent.paths.tasks / "digest.md").write_text(TASK)
    listed = "".join(f"  - {{task: digest, timezone: UTC, {line}}}\n" for line in lines)
    agent.paths.config.write_text(f"{CONFIG}schedule:\n{listed or '  []'}\n")
    agent.bound = await agent.prepare(load_config(agent.paths.config))


async def begin(agent: Agent, clock: Clock, *lines: str) -> Schedules:
    """Schedules that were met at the beginning."""
    await configure(agent, *lines)
    made = Schedules(agent, {}, clock)
    await made.look()
    return made


async def look(made: Schedules, clock: Clock, moment: datetime) -> list[Job]:
    """Look at the clock; all jobs so far."""
    clock.now = moment
    await made.look()
    return (await made._agent.store.read(queue.find))[::-1]


async def state(agent: Agent, name: str = "digest") -> schedules.Scheduled:
    return (await agent.store.read(schedules.load))[name]


async def finish(
    agent: Agent, name: str, task: str = "note-tagging", moment: datetime = START, **given: Any
) -> int:
    """A result of another task."""
    event = make_event(f"/notes/{name}", name, task=task)
    await agent.store.write(queue.add, event, "hash", "other", moment)
    job = await agent.store.write(queue.claim, "boot:1:1", "other", moment)
    assert job is not None
    document = make_document(name, f"/notes/{name}")
    return await agent.store.write(
        results.complete, job, "boot:1:1", "hash", make_result(**given), document, moment
    )


async def text(agent: Agent, job: Job) -> str:
    found = await agent.store.read(documents.load_document, job.content, job.source)
    assert found is not None
    return found.text


def mine(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.task == "digest"]


async def test_a_schedule_that_is_new_catches_nothing_up_and_is_fired_at_its_time_once(
    agent: Agent, clock: Clock
) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    assert await look(made, clock, SEVEN - timedelta(seconds=1)) == []
    (job,) = await look(made, clock, SEVEN + timedelta(seconds=5))
    assert (job.source, job.occasion) == ("schedule:digest 2026-05-04 07:00", "digest 2026-05-04T07:00+00:00")
    assert (job.task, job.origin, job.state) == ("digest", "schedule digest", JobState.QUEUED)
    assert await text(agent, job) == "It is Monday, 04 May 2026, 07:00.\n"
    assert await look(made, clock, SEVEN + HOUR) == [job]
    assert len(await look(made, clock, SEVEN + DAY)) == 2
    assert agent.added.is_set()


async def test_the_next_look_is_at_the_next_time_and_never_far_off(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'at: "07:00", input: nothing')
    assert await made.look() == LOOK_SECONDS
    clock.now = SEVEN - timedelta(seconds=4)
    assert await made.look() == 4


async def test_results_and_findings_since_the_last_run_are_the_input(agent: Agent, clock: Clock) -> None:
    await finish(agent, "old.md", moment=START - 2 * DAY)
    await finish(agent, "late.md", moment=START - 2 * HOUR)
    made = await begin(agent, clock, 'cron: "0 7 * * *"')
    learned = delta(patterns=(pattern(1),), findings=(finding(1),))
    await agent.store.write(logs.apply, learned, START)
    await finish(agent, "own.md", task="digest")
    await finish(agent, "peas.md", output={"title": "Peas\n# and ![x](http://a.b/c)", "tags": ["garden", "food"]})
    (job,) = mine(await look(made, clock, SEVEN))[1:]
    told = await text(agent, job)
    assert "\nResults: 2\n- note-tagging of notes/late.md: " in told, "the first run looks back a day"
    assert "\n- note-tagging of notes/peas.md: title: Peas # and x" in told
    assert "tags: garden, food\n" in told
    assert "Findings in logs, the worst first: 1\n- " in told
    assert not any(word in told for word in ("old.md", "own.md", "http://"))
    await finish(agent, "beans.md")
    again = mine(await look(made, clock, SEVEN + DAY))[-1]
    told = await text(agent, again)
    assert "The last run was on Monday, 04 May, 07:00.\n\nResults: 1\n- note-tagging of notes/beans.md" in told
    assert "Findings in logs, the worst first: 0\n" in told


async def test_a_digest_of_nothing_is_left_out_and_says_so(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *"')
    assert await look(made, clock, SEVEN) == []
    assert (await state(agent)).note == "nothing new"
    await finish(agent, "peas.md")
    jobs = mine(await look(made, clock, SEVEN + HOUR))
    assert jobs == [], "its time has passed"
    assert "peas.md" in await text(agent, mine(await look(made, clock, SEVEN + DAY))[0])
    assert (await state(agent)).note == ""


@pytest.mark.parametrize("ended", [JobState.DONE, JobState.CANCELLED])
async def test_what_a_digest_that_came_to_nothing_was_given_is_news_still(
    agent: Agent, clock: Clock, ended: JobState
) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *"')
    await finish(agent, "peas.md")
    (job,) = mine(await look(made, clock, SEVEN))
    if ended is JobState.CANCELLED:
        await agent.store.write(queue.cancel, job.id, clock.now)
    else:
        owned = await agent.store.write(queue.claim, "boot:1:1", job.model, clock.now)
        assert owned and await agent.store.write(queue.finish, owned, "boot:1:1", clock.now)
    await finish(agent, "beans.md")
    told = await text(agent, mine(await look(made, clock, SEVEN + DAY))[-1])
    assert "beans.md" in told
    assert ("peas.md" in told) == (ended is JobState.CANCELLED)


async def test_down_across_three_firings_is_one_run(agent: Agent, clock: Clock) -> None:
    await begin(agent, clock, 'cron: "0 * * * *", input: nothing')
    later = Schedules(agent, {}, clock)
    jobs = await look(later, clock, START + 3 * HOUR + timedelta(minutes=20))
    assert [job.occasion for job in jobs] == ["digest 2026-05-04T06:00+00:00"]
    assert len(await look(later, clock, START + 4 * HOUR)) == 2


async def test_without_catching_up_only_what_has_its_time_just_now_is_run(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 * * * *", input: nothing, catch_up: none')
    assert await look(made, clock, START + 3 * HOUR + timedelta(minutes=20)) == []
    assert (await state(agent)).note == "missed 2026-05-04 06:00 (catch_up: none)"
    jobs = await look(made, clock, START + 6 * HOUR + timedelta(seconds=10))
    assert [job.occasion for job in jobs] == ["digest 2026-05-04T09:00+00:00"]


async def test_a_clock_that_is_set_back_fires_nothing_again(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 * * * *", input: nothing')
    assert len(await look(made, clock, SEVEN)) == 1
    for minutes in range(-60, 60, 7):
        assert len(await look(made, clock, SEVEN + timedelta(minutes=minutes))) == 1
    assert (await state(agent)).note == ""
    assert len(await look(made, clock, SEVEN + HOUR)) == 2


@pytest.mark.parametrize("ahead", [HOUR, 5 * HOUR, 23 * HOUR])
async def test_a_clock_that_was_ahead_silences_nothing_once_it_is_right(
    agent: Agent, clock: Clock, ahead: timedelta
) -> None:
    made = await begin(agent, clock, "every: 20m, input: nothing")
    count = len(await look(made, clock, SEVEN + ahead))
    for minutes in range(0, 6 * 60, 5):
        jobs = await look(made, clock, SEVEN + timedelta(minutes=minutes))
    assert len(jobs) - count >= 16, "three an hour, but for those whose time the wrong clock had used up"


async def test_a_clock_that_was_a_year_ahead_leaves_nothing_stuck_and_nothing_twice(
    agent: Agent, clock: Clock
) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    assert len(await look(made, clock, SEVEN)) == 1
    assert len(await look(made, clock, SEVEN + 365 * DAY)) == 2
    # Right again, and before a time that had its job.
    assert len(await look(made, clock, SEVEN - HOUR)) == 2
    assert len(await look(made, clock, SEVEN)) == 2
    assert len(await look(made, clock, SEVEN + DAY)) == 3
    assert len(await look(made, clock, SEVEN + 2 * DAY)) == 4


async def test_other_times_are_taken_at_the_next_look_and_catch_nothing_up(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    await look(made, clock, SEVEN)
    await configure(agent, 'cron: "0 6 * * *", input: nothing')
    assert len(await look(made, clock, SEVEN + HOUR)) == 1
    assert len(await look(made, clock, SEVEN + DAY - HOUR)) == 2
    await configure(agent)
    assert len(await look(made, clock, SEVEN + 3 * DAY)) == 2
    assert await agent.store.read(schedules.load) == {}


@pytest.mark.parametrize(
    ("mode", "states", "due"),
    [
        ("queued", ["queued", "queued"], 1),
        ("parallel", ["queued", "queued"], 2),
        ("single", ["queued"], 1),
        ("restart", ["cancelled", "queued"], 1),
    ],
)
async def test_what_happens_while_an_earlier_run_is_not_done(
    agent: Agent, clock: Clock, mode: str, states: list[str], due: int
) -> None:
    made = await begin(agent, clock, f'cron: "0 * * * *", input: results, mode: {mode}')
    await finish(agent, "peas.md")
    await look(made, clock, SEVEN)
    await finish(agent, "beans.md")
    jobs = mine(await look(made, clock, SEVEN + HOUR))
    assert [job.state for job in jobs] == states
    last = await text(agent, jobs[-1])
    assert ("peas.md" in last, "beans.md" in last) == {
        "queued": (False, True),
        "parallel": (False, True),
        "single": (True, False),
        "restart": (True, True),
    }[mode]
    claimed = [await agent.store.write(queue.claim, "boot:1:1", "main", clock.now) for _ in range(2)]
    assert sum(job is not None for job in claimed) == due
    if mode == "single":
        assert (await state(agent)).note == f"job {jobs[0].id} was not done yet"
        for job in claimed:
            if job:
                await agent.store.write(queue.cancel, job.id, clock.now)
        after = await text(agent, mine(await look(made, clock, SEVEN + 2 * HOUR))[-1])
        assert "beans.md" in after, "what came meanwhile is not lost"


async def test_a_folder_is_read_as_it_is_then(agent: Agent, clock: Clock, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    made = await begin(agent, clock, f'cron: "0 * * * *", input: {{folder: "{notes}"}}')
    assert await look(made, clock, SEVEN) == []
    assert (await made.shapes())[0]["overdue"], "a folder that is away is waited for"
    notes.mkdir()
    assert await look(made, clock, SEVEN + HOUR) == []
    assert (await state(agent)).note == "nothing new"
    for name in ("a.md", "b.txt", "c.pdf", ".hidden.md"):
        (notes / name).write_text(name)
    (job,) = await look(made, clock, SEVEN + 2 * HOUR)
    members = await agent.store.read(bundles.load, job.content)
    assert [Path(one.source).name for one in members] == ["a.md", "b.txt"]


async def test_a_time_waits_for_a_task_that_is_broken(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    (agent.paths.tasks / "digest.md").write_text("broken")
    assert await look(made, clock, SEVEN) == []
    (shape,) = await made.shapes()
    assert "begins with front matter" in (shape["problem"] or "")
    assert shape["overdue"]
    (agent.paths.tasks / "digest.md").write_text(TASK)
    (job,) = await look(made, clock, SEVEN + HOUR)
    assert job.occasion == "digest 2026-05-04T07:00+00:00"


async def test_a_death_while_a_job_is_made_leaves_its_time_to_be_fired(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    before = await state(agent)

    def die(*_: Any) -> None:
        raise ZeroDivisionError

    firing = Firing("digest", "digest", "h", "main", "schedule digest", "queued", "x", 1, (before.looked, "z"))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        await agent.store.write(schedules.fire, firing, die, SEVEN)
    assert await state(agent) == before
    assert len(await look(made, clock, SEVEN)) == 1


async def test_two_who_look_at_the_same_time_fire_once(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing')
    clock.now = SEVEN
    known = (await state(agent),) * 2
    for one in known:
        await made._fire_due(agent.config.schedule[0], one, SEVEN)
    assert len(await agent.store.read(queue.find)) == 1


async def test_a_person_runs_a_schedule_beside_its_own_times(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing', "every: 1h, name: news")
    job_id = await made.fire_now("digest")
    clock.now += timedelta(seconds=1)
    assert await made.fire_now("digest") != job_id
    with pytest.raises(AgentdError, match="news was not run: nothing new") as refused:
        await made.fire_now("news")
    assert refused.value.hint == "agentd schedule list"
    with pytest.raises(NotFound, match="did you mean `digest`"):
        await made.fire_now("digets")
    assert [job.priority.name for job in await look(made, clock, SEVEN)][2:3] == ["TRIGGERED"]


async def test_a_list_says_what_was_and_what_comes(agent: Agent, clock: Clock) -> None:
    made = await begin(agent, clock, 'cron: "0 7 * * *", input: nothing', 'at: "2026-01-01 00:00", name: gone')
    (job,) = await look(made, clock, SEVEN)
    shape, gone = await made.shapes()
    assert (shape["fired"], shape["next"]) == ("2026-05-04T07:00:00.000Z", "2026-05-05T07:00:00.000Z")
    assert (shape["job"], shape["state"], shape["overdue"]) == (job.id, "queued", False)
    assert (gone["state"], gone["next"]) == ("over", None)
    times = [one["time"] for one in await made.coming("digest", 5)]
    assert times == [f"2026-05-0{day}T07:00:00.000Z" for day in range(5, 10)]
