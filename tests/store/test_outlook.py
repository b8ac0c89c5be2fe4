import pytest
from sqlite_utils import Database

from agentd.records import Priority
from agentd.store import outlook, queue, results
from agentd.store.outlook import Line, Place
from tests.making import NOW, make_document, make_event, make_result
from tests.store.conftest import OWNER


def add(db: Database, source: str, task: str = "tag", model: str = "main", **given: object) -> int:
    job_id = queue.add(db, make_event(source, source, task=task, **given), "hash", model, NOW)
    assert job_id is not None
    return job_id


def take(db: Database, model: str = "main") -> int:
    job = queue.claim(db, OWNER, model, NOW)
    assert job is not None
    return job.id


def done(db: Database, *seconds: float, task: str = "tag", model: str = "main", **given: float) -> None:
    """Results that took so much of the engine."""
    for share in seconds:
        source = f"/done/{db['jobs'].count}"
        add(db, source, task, model, priority=Priority.INTERACTIVE)
        job = queue.claim(db, OWNER, model, NOW)
        assert job is not None
        result = make_result(**{"seconds": 99.0, "engine_seconds": share, **given})
        results.complete(db, job, OWNER, "hash", result, make_document(source, source), NOW)


def test_a_job_usually_takes_the_median_of_the_last_results_of_its_task_and_model(db: Database) -> None:
    assert outlook.seconds_each(db, "tag", "main") is None
    done(db, *[77.0] * 30)
    done(db, *[2.0] * 12, 50.0, *[1.0] * 12)
    assert outlook.seconds_each(db, "tag", "main") == 2.0
    done(db, 9.0, model="big")
    done(db, 5.0, task="sum")
    assert outlook.seconds_each(db, "sum", "main") == 5.0
    assert outlook.seconds_each(db, "tag", "big") == 9.0


def test_what_was_not_shared_out_is_taken_as_long_as_it_was_under_way(db: Database) -> None:
    done(db, 0.0, seconds=3.0)
    assert outlook.seconds_each(db, "tag", "main") == 3.0
    db.execute("UPDATE results SET engine_seconds = NULL")
    assert outlook.seconds_each(db, "tag", "main") == 3.0


def test_a_task_without_results_is_taken_for_its_neighbours(db: Database) -> None:
    done(db, 4.0)
    done(db, 8.0, model="big")
    assert outlook.seconds_each(db, "new", "main") == 4.0
    assert outlook.seconds_each(db, "new", "other") is None


def test_a_place_counts_who_goes_before_and_the_work_that_they_are(db: Database) -> None:
    done(db, 2.0)
    done(db, 10.0, task="sum")
    done(db, 1.0, model="big")
    running = add(db, "/running", priority=Priority.INTERACTIVE)
    assert take(db) == running
    backfill = add(db, "/backfill", priority=Priority.BACKFILL)
    first, second = add(db, "/1"), add(db, "/2", task="sum")
    asked = add(db, "/asked", priority=Priority.INTERACTIVE)
    other = add(db, "/other", model="big")
    unknown = add(db, "/unknown", model="new")
    assert outlook.find_places(db, [backfill, first, second, asked, other, unknown, running]) == {
        asked: Place(1, pytest.approx(2.0 + 2.0)),
        first: Place(2, pytest.approx(4.0 + 2.0)),
        second: Place(3, pytest.approx(6.0 + 10.0)),
        backfill: Place(4, pytest.approx(16.0 + 2.0)),
        other: Place(1, pytest.approx(1.0)),
        unknown: Place(1, None),
    }
    assert outlook.find_places(db, []) == {}


def test_places_are_those_in_which_jobs_are_claimed(db: Database) -> None:
    ids = [add(db, f"/{number}", priority=Priority(number % 3)) for number in range(9)]
    places = outlook.find_places(db, ids)
    assert sorted(ids, key=lambda job_id: places[job_id].position) == [take(db) for _ in ids]


def test_all_is_done_when_the_longest_queue_is(db: Database) -> None:
    assert outlook.seconds_left(db) == 0.0
    done(db, 2.0)
    done(db, 10.0, model="big")
    assert outlook.seconds_left(db) == 0.0
    for number in range(3):
        add(db, f"/{number}")
    take(db)
    assert outlook.seconds_left(db) == pytest.approx(6.0)
    add(db, "/big", model="big")
    assert outlook.seconds_left(db) == pytest.approx(10.0)
    add(db, "/new", model="new")
    assert outlook.seconds_left(db) is None


def test_the_queue_by_priority_tells_when_each_part_of_it_is_through(db: Database) -> None:
    empty = outlook.find_lines(db)
    assert list(empty) == list(Priority)
    assert {line.eta_seconds for priority, line in empty.items() if priority is not Priority.PAUSED} == {0.0}
    done(db, 2.0)
    done(db, 10.0, model="big")
    add(db, "/asked", priority=Priority.INTERACTIVE)
    take(db)
    for number in range(3):
        add(db, f"/{number}")
    add(db, "/big", model="big")
    add(db, "/late", priority=Priority.BACKFILL)
    add(db, "/aside", priority=Priority.PAUSED)
    lines = outlook.find_lines(db)
    assert lines == {
        Priority.INTERACTIVE: Line(0, 1, pytest.approx(2.0)),
        Priority.TRIGGERED: Line(4, 0, pytest.approx(10.0)),  # `big` takes longer than 2 + 3 × 2 s of `main`
        Priority.BACKFILL: Line(1, 0, pytest.approx(10.0)),  # … and this one of `main` is done by then, after 10 s
        Priority.PAUSED: Line(1, 0, None),
    }
    assert outlook.seconds_left(db) == pytest.approx(10.0), "the last of it is all of it"


def test_a_part_of_the_queue_has_no_end_in_sight_where_a_model_has_done_nothing_yet(db: Database) -> None:
    done(db, 2.0)
    add(db, "/a")
    add(db, "/new", model="new", priority=Priority.BACKFILL)
    lines = outlook.find_lines(db)
    assert lines[Priority.TRIGGERED].eta_seconds == pytest.approx(2.0)
    assert lines[Priority.BACKFILL].eta_seconds is None
