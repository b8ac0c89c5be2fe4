from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from agentd.errors import (
    AgentdError,
    EmptyInput,
    EngineCrashed,
    EngineTimeout,
    Malformed,
    NotFound,
    NotText,
    Vanished,
)
from agentd.records import Job, JobState, Priority
from agentd.store import documents, queue, retry
from agentd.store.database import connect, migrate
from tests.making import NOW, later, make_document, make_event, sha
from tests.store.conftest import OWNER, add_job, claim_job

OTHER = "boot:2:2"


def fail(db: Database, job: Job, error: AgentdError) -> JobState | None:
    return queue.fail(db, job, OWNER, error, NOW, 0.0)


@pytest.mark.parametrize(
    "changed", [{"task": "other"}, {"source": "/b"}, {"text": "b"}, {"occasion": "run 1"}, {"task_hash": "h2"}]
)
def test_a_job_is_added_once_for_each_task_hash_source_content_and_occasion(
    db: Database, changed: dict[str, str]
) -> None:
    other_hash = changed.pop("task_hash", "hash")
    assert queue.add(db, make_event(), "hash", "main", NOW)
    assert queue.add(db, make_event(priority=Priority.BACKFILL), "hash", "main", NOW) is None
    assert queue.add(db, make_event(**changed), other_hash, "main", NOW)
    assert len(queue.find(db)) == 2


def test_an_event_that_was_refused_is_a_failed_job_with_its_reason(db: Database) -> None:
    job = queue.get(db, add_job(db, refusal=EmptyInput("a.md is empty", hint="cat a.md")))
    assert (job.state, job.reason, job.error, job.hint) == ("failed", "empty", "a.md is empty", "cat a.md")
    assert job.finished
    assert queue.claim(db, OWNER, "main", NOW) is None


def test_texts_that_stand_in_no_file_are_kept_with_their_jobs(db: Database) -> None:
    document = make_document("from a pipe", "stdin")
    ids = queue.add_all(db, [(make_event("stdin", "from a pipe"), "hash", "main")] * 2, NOW, [document])
    assert len(ids) == 1
    found = documents.load_document(db, sha("from a pipe"), "stdin")
    assert found is not None
    assert found.text == "from a pipe"


@settings(max_examples=30)
@given(st.lists(st.sampled_from(list(Priority)[:3]), max_size=12))
def test_jobs_are_claimed_by_priority_and_then_by_age(priorities: list[Priority]) -> None:
    memory = Database(memory=True)
    try:
        migrate(memory)
        for number, priority in enumerate(priorities):
            add_job(memory, f"/{number}", priority=priority)
        order = [claim_job(memory) for _ in priorities]
        assert queue.claim(memory, OWNER, "main", NOW) is None
        assert all((a.priority, a.id) < (b.priority, b.id) for a, b in pairwise(order))
    finally:
        memory.close()


def test_a_claim_takes_only_jobs_of_its_model_that_are_due_and_asked_for(db: Database) -> None:
    queue.add(db, make_event("/other-model"), "hash", "big", NOW)
    queue.add(db, make_event("/not-due"), "hash", "main", later(10))
    wanted = add_job(db, "/wanted", priority=Priority.BACKFILL)
    add_job(db, "/also-due")
    assert queue.claim(db, OWNER, "main", NOW, only=[]) is None
    job = queue.claim(db, OWNER, "main", NOW, only=[wanted])
    assert job is not None
    assert (job.id, job.state, job.attempts) == (wanted, JobState.RUNNING, 1)
    assert claim_job(db).source == "/also-due"
    assert queue.claim(db, OWNER, "main", NOW) is None
    due = queue.claim(db, OWNER, "main", later(10))
    assert due is not None
    assert due.source == "/not-due"


def test_a_claim_with_a_bound_takes_nothing_less_urgent(db: Database) -> None:
    add_job(db, "/triggered")
    assert queue.claim(db, OWNER, "main", NOW, lowest=Priority.INTERACTIVE) is None
    asked = add_job(db, "/asked", priority=Priority.INTERACTIVE)
    job = queue.claim(db, OWNER, "main", NOW, lowest=Priority.INTERACTIVE)
    assert job is not None
    assert job.id == asked


def test_an_aged_claim_takes_the_oldest_job_but_nothing_before_an_interactive_one(db: Database) -> None:
    waiting = queue.add(db, make_event("/not-due"), "hash", "main", later(10))
    old = add_job(db, "/old", priority=Priority.BACKFILL)
    triggered, older = add_job(db, "/triggered"), add_job(db, "/newer", priority=Priority.BACKFILL)
    asked = add_job(db, "/asked", priority=Priority.INTERACTIVE)
    claimed = [queue.claim(db, OWNER, "main", NOW, aged=True) for _ in range(4)]
    assert [job.id for job in claimed if job] == [asked, old, triggered, older]
    due = queue.claim(db, OWNER, "main", later(10), aged=True)
    assert due is not None
    assert due.id == waiting


@pytest.mark.parametrize("given", [{}, {"aged": True}, {"lowest": Priority.INTERACTIVE}], ids=str)
def test_a_claim_finds_its_job_in_an_index_and_sorts_no_queue(db: Database, given: dict[str, Any]) -> None:
    asked: list[str] = []
    db.conn.set_trace_callback(asked.append)
    queue.claim(db, OWNER, "main", NOW, **given)
    db.conn.set_trace_callback(None)
    (sql,) = (statement for statement in asked if statement.startswith("UPDATE"))
    plan = [row["detail"] for row in db.query(f"EXPLAIN QUERY PLAN {sql}")]
    looks = [step for step in plan if "jobs" in step]
    lanes = [looks.pop(looks.index(step)) for step in looks[:] if "other" in step]
    assert all(step.endswith("INDEX jobs_by_lane (lane=? AND state=?)") for step in lanes), plan
    assert looks.pop(0).startswith("SEARCH jobs USING INTEGER PRIMARY KEY")
    assert looks
    assert all(step.endswith("INDEX jobs_to_claim (state=? AND model=? AND priority=?)") for step in looks), plan


def test_what_is_due_is_what_a_claim_would_find(db: Database) -> None:
    queue.add(db, make_event("/other-model"), "hash", "big", NOW)
    job_id = queue.add(db, make_event("/not-due"), "hash", "main", later(10))
    assert job_id
    assert not queue.is_due(db, "main", NOW)
    assert queue.is_due(db, "main", later(10))
    assert queue.is_due(db, "main", later(10), [job_id])
    assert not queue.is_due(db, "main", later(10), [])


def test_a_heartbeat_keeps_its_owners_jobs_and_frees_those_whose_lease_ran_out(db: Database) -> None:
    kept, lost = add_job(db, "/kept"), add_job(db, "/lost")
    claim_job(db)
    claim_job(db, OTHER)
    past = NOW + queue.LEASE + timedelta(seconds=1)
    queue.heartbeat(db, OWNER, past)
    assert queue.get(db, kept).state is JobState.RUNNING
    freed = queue.get(db, lost)
    assert (freed.state, freed.attempts, freed.started) == (JobState.QUEUED, 0, None)


def test_a_job_whose_owner_died_is_queued_again_at_once_and_the_try_not_counted(db: Database) -> None:
    mine, dead = add_job(db, "/mine"), add_job(db, "/dead")
    claim_job(db)
    claim_job(db, OTHER)
    assert queue.release_dead(db, lambda owner: owner == OWNER) == 1
    assert queue.get(db, mine).state is JobState.RUNNING
    job = queue.get(db, dead)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert claim_job(db).id == dead


def test_an_owner_that_lost_its_lease_cannot_end_the_job(db: Database) -> None:
    job = queue.get(db, add_job(db))
    late = claim_job(db, OTHER)
    queue.release(db, OTHER)
    now = claim_job(db)
    assert not queue.finish(db, late, OTHER, NOW)
    assert queue.fail(db, late, OTHER, EmptyInput(), NOW, 0.0) is None
    assert queue.get(db, job.id).state is JobState.RUNNING
    assert queue.finish(db, now, OWNER, NOW)
    assert queue.get(db, job.id).state is JobState.DONE
    assert not queue.finish(db, now, OWNER, NOW)


def test_one_job_or_one_model_of_an_owner_can_be_given_back(db: Database) -> None:
    first, second = add_job(db, "/1"), add_job(db, "/2")
    queue.add(db, make_event("/3"), "hash", "big", NOW)
    claim_job(db)
    claim_job(db)
    queue.claim(db, OWNER, "big", NOW)
    assert queue.release(db, OWNER, job_id=second) == 1
    assert queue.release(db, OWNER, model="big") == 1
    assert [job.id for job in queue.find(db, state=JobState.RUNNING)] == [first]


def test_a_failed_try_waits_for_its_time_and_keeps_its_reason(db: Database) -> None:
    add_job(db)
    assert fail(db, claim_job(db), EngineTimeout("too slow")) is JobState.QUEUED
    (waiting,) = queue.find(db)
    assert (waiting.reason, waiting.error, waiting.finished) == ("engine-timeout", "too slow", None)
    assert queue.claim(db, OWNER, "main", later(4)) is None
    again = queue.claim(db, OWNER, "main", later(5))
    assert again is not None
    assert again.attempts == 2


@pytest.mark.parametrize(("error", "tries", "crashes"), [(EngineTimeout(), 5, 0), (EngineCrashed(), 3, 3)])
def test_a_poison_job_is_quarantined(db: Database, error: AgentdError, tries: int, crashes: int) -> None:
    job_id = add_job(db)
    for _ in range(tries):
        job = queue.claim(db, OWNER, "main", later(9999))
        assert job is not None
        fail(db, job, error)
    job = queue.get(db, job_id)
    assert (job.state, job.attempts, job.crashes) == (JobState.QUARANTINED, tries, crashes)
    assert job.reason == error.code
    assert queue.claim(db, OWNER, "main", later(99999)) is None


def test_a_file_that_moved_while_its_job_was_claimed_is_tried_under_its_new_name(db: Database) -> None:
    add_job(db)
    job = claim_job(db)
    db.execute("UPDATE jobs SET source = '/notes/moved.md'")
    assert fail(db, job, Vanished()) is JobState.QUEUED
    moved = claim_job(db)
    assert (moved.source, moved.attempts) == ("/notes/moved.md", 2)
    assert fail(db, moved, Vanished()) is JobState.FAILED


def test_a_job_that_failed_can_be_retried_with_fresh_counts(db: Database) -> None:
    job_id = add_job(db)
    fail(db, claim_job(db), EmptyInput("empty"))
    job = queue.retry_job(db, job_id, NOW)
    assert (job.state, job.attempts, job.reason, job.error, job.finished) == (JobState.QUEUED, 0, None, None, None)
    with pytest.raises(AgentdError, match="is queued: only failed"):
        queue.retry_job(db, job_id, NOW)


def test_a_job_that_was_cancelled_while_it_ran_cannot_finish(db: Database) -> None:
    job_id = add_job(db)
    job = claim_job(db)
    assert queue.cancel(db, job_id, NOW).state is JobState.CANCELLED
    assert not queue.finish(db, job, OWNER, NOW)
    with pytest.raises(AgentdError, match="already cancelled"):
        queue.cancel(db, job_id, NOW)


def test_queued_jobs_of_a_model_that_is_gone_are_given_to_another(db: Database) -> None:
    queue.add(db, make_event("/a"), "hash", "gone", NOW)
    queue.add(db, make_event("/b"), "hash", "small", NOW)
    assert queue.adopt(db, ["main", "small"]) == 1
    assert {job.source: job.model for job in queue.find(db)} == {"/a": "main", "/b": "small"}


def test_a_claimed_job_can_be_handed_over_to_the_model_that_its_task_wants(db: Database) -> None:
    add_job(db)
    queue.hand_over(db, claim_job(db), OWNER, "big")
    assert queue.claim(db, OWNER, "main", NOW) is None
    job = queue.claim(db, OWNER, "big", NOW)
    assert job is not None
    assert job.attempts == 1


def test_jobs_are_found_newest_first_by_state_task_and_id(db: Database) -> None:
    ids = [add_job(db, f"/{number}", task="even" if number % 2 == 0 else "odd") for number in range(4)]
    claim_job(db)
    assert [job.id for job in queue.find(db, limit=3)] == ids[:0:-1]
    assert [job.id for job in queue.find(db, task="odd")] == [ids[3], ids[1]]
    assert [job.id for job in queue.find(db, state=JobState.RUNNING)] == [ids[0]]
    assert [job.id for job in queue.find(db, ids=[ids[1], 999])] == [ids[1]]
    counts = queue.count_states(db)
    assert (counts[JobState.QUEUED], counts[JobState.RUNNING], counts[JobState.DONE]) == (3, 1, 0)
    with pytest.raises(NotFound, match="there is no job 999"):
        queue.get(db, 999)


def test_the_jobs_that_were_given_up_last_are_found_by_when_they_ended(db: Database) -> None:
    for number in range(4):
        add_job(db, f"/{number}")
    for number, error in ((2, NotText("binary")), (0, Malformed("broken")), (1, NotText("binary"))):
        job = queue.claim(db, OWNER, "main", NOW, [number + 1])
        assert job is not None
        queue.fail(db, job, OWNER, error, later(10 * (number + 1)), 0.0)
    assert [(job.source, job.reason) for job in queue.last_errors(db, 2)] == [
        ("/2", "not-text"),
        ("/1", "not-text"),
    ]


def test_two_connections_never_claim_the_same_job(db: Database) -> None:
    for number in range(20):
        add_job(db, f"/{number}")
    (path,) = [row["file"] for row in db.query("PRAGMA database_list")]
    other = connect(path)
    try:
        claimed = [queue.claim(each, OWNER, "main", NOW) for _ in range(10) for each in (db, other)]
    finally:
        other.close()
    assert len({job.id for job in claimed if job}) == 20


def test_a_clock_that_went_back_makes_no_job_wait_for_the_hour_to_come_again(db: Database) -> None:
    add_job(db)
    assert queue.claim(db, OWNER, "main", later(-3600)) is None
    queue.clock_went_back(db, later(-3600))
    assert queue.claim(db, OWNER, "main", later(-3600)) is not None


def test_a_try_that_is_as_far_away_as_it_may_be_is_left_at_its_time(db: Database) -> None:
    add_job(db)
    longest = retry.LONGEST.total_seconds()
    queue.clock_went_back(db, later(-longest), beyond=retry.LONGEST)
    assert queue.claim(db, OWNER, "main", later(-longest)) is None
    queue.clock_went_back(db, later(-longest - 1), beyond=retry.LONGEST)
    assert queue.claim(db, OWNER, "main", later(-longest)) is not None
