import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from agentd.conditions import Closed
from agentd.records import Job, Priority
from agentd.store import queue
from agentd.store.candidates import Waiting, count_waiting, first_of_each
from agentd.store.database import migrate
from tests.making import NOW, later, make_event
from tests.store.conftest import OWNER, add_job

NOTES, LOG = "watch /notes tag", "log /var/log/x"
ORIGINS = ["", NOTES, LOG]
CLOSABLE = [Priority.TRIGGERED, Priority.BACKFILL]


def claim(db: Database, closed: Closed, *, aged: bool = False) -> Job | None:
    return queue.claim(db, OWNER, "main", NOW, closed=closed, aged=aged)


def due(db: Database, closed: Closed) -> bool:
    return queue.is_due(db, "main", NOW, closed=closed)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(ORIGINS), st.sampled_from(list(Priority))), max_size=12),
    st.sets(st.sampled_from(ORIGINS[1:])),
    st.sets(st.sampled_from(CLOSABLE)),
    st.booleans(),
)
def test_a_claim_takes_what_it_would_have_taken_if_closed_jobs_were_not_there(
    jobs: list[tuple[str, Priority]], origins: set[str], priorities: set[Priority], aged: bool
) -> None:
    closed = Closed(dict.fromkeys(origins, "waits"), dict.fromkeys(priorities, "waits"))
    gated, free = Database(memory=True), Database(memory=True)
    try:
        for db in (gated, free):
            migrate(db)
        for number, (origin, priority) in enumerate(jobs):
            add_job(gated, f"/{number}", origin=origin, priority=priority)
            if not closed.why(origin, priority):
                add_job(free, f"/{number}", origin=origin, priority=priority)
        for _ in jobs:
            assert due(gated, closed) == due(free, Closed())
            taken, expected = claim(gated, closed, aged=aged), claim(free, Closed(), aged=aged)
            assert (taken and taken.source) == (expected and expected.source)
    finally:
        gated.close()
        free.close()


def test_closed_jobs_wait_untouched_and_are_claimed_in_their_turn_once_they_may(db: Database) -> None:
    first = add_job(db, "/first", origin=NOTES)
    add_job(db, "/second", origin=LOG)
    closed = Closed({NOTES: "waits for mains power"})
    taken = claim(db, closed)
    assert taken is not None
    assert (taken.source, taken.origin) == ("/second", LOG)
    assert claim(db, closed) is None
    assert not due(db, closed)
    waiting = queue.get(db, first)
    assert (waiting.state, waiting.attempts) == ("queued", 0)
    assert due(db, Closed())
    opened = claim(db, Closed())
    assert opened is not None
    assert opened.id == first


def test_a_job_that_is_not_due_or_whose_lane_is_taken_hides_no_other_of_its_origin(db: Database) -> None:
    for source, due_at, lane in (
        ("/1", NOW, "lane"),
        ("/2", NOW, "lane"),
        ("/3", later(9), None),
        ("/4", NOW, None),
    ):
        queue.add(db, make_event(source, source, origin=LOG), "hash", "main", due_at, lane=lane)
    closed = Closed({NOTES: "waits"})
    assert [job.source for _ in range(3) if (job := claim(db, closed))] == ["/1", "/4"]


@pytest.mark.parametrize("closed", [Closed({NOTES: "waits"}), Closed({NOTES: "waits", LOG: "waits"})])
def test_no_claim_walks_past_the_jobs_of_a_closed_origin(db: Database, closed: Closed) -> None:
    add_job(db, "/a", origin=NOTES)
    firsts = first_of_each(db, "main", NOW, closed=closed)
    plan = [row["detail"] for row in db.query(f"EXPLAIN QUERY PLAN {firsts.sql}", firsts.values)]
    searches = [step for step in plan if " jobs " in step]
    assert searches, plan
    # What is interactive is never closed; of everything else each origin is searched for by itself.
    assert (
        len([step for step in searches if "jobs_by_origin (model=? AND origin=? AND priority=?)" not in step]) == 1
    )
    assert not [step for step in searches if step.startswith("SCAN")], plan


def test_there_may_be_more_origins_than_sqlite_joins_queries(db: Database) -> None:
    for number in range(600):
        add_job(db, f"/{number}", origin=f"watch /{number} tag")
    taken = claim(db, Closed({"watch /0 tag": "waits"}))
    assert taken is not None
    assert taken.source == "/1"


def test_waiting_jobs_are_counted_by_what_they_wait_for(db: Database) -> None:
    for number in range(3):
        add_job(db, f"/n{number}", origin=NOTES)
    add_job(db, "/n-old", origin=NOTES, priority=Priority.BACKFILL)
    add_job(db, "/l", origin=LOG)
    add_job(db, "/b1", priority=Priority.BACKFILL)
    add_job(db, "/b2", origin=LOG, priority=Priority.BACKFILL)
    add_job(db, "/asked", origin=NOTES, priority=Priority.INTERACTIVE)
    add_job(db, "/aside", origin=NOTES, priority=Priority.PAUSED)
    closed = Closed({NOTES: "waits for mains power"}, {Priority.BACKFILL: "waits until 22:00"})
    assert sorted(count_waiting(db, closed), key=lambda one: one.jobs) == [
        Waiting(None, Priority.BACKFILL, 2, "waits until 22:00"),
        Waiting(NOTES, None, 4, "waits for mains power"),
    ]
    assert count_waiting(db, Closed()) == []
