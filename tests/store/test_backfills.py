import pytest
from sqlite_utils import Database

from agentd.errors import AgentdError, EmptyInput, NotFound, Superseded, UnknownTask
from agentd.records import Event, JobState, Priority
from agentd.store import backfills, outlook, positions, queue
from agentd.store.backfills import Backfill
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, make_event, sha
from tests.store.conftest import OWNER, add_job, claim_job


def old(name: str, text: str = "a", **given: object) -> Event:
    return make_event(f"/notes/{name}", text, priority=Priority.BACKFILL, **given)


def begin(db: Database, *names: str, again: bool = False) -> Backfill:
    found = backfills.begin(db, "tag", ["/notes"], again, NOW)
    assert backfills.add(db, found.id, [old(name, occasion=found.again) for name in names], 1, "hash", "main", NOW)
    backfills.end_listing(db, found.id, NOW)
    return backfills.get(db, found.id)


def test_a_backfill_counts_its_jobs_from_listing_to_its_end(db: Database) -> None:
    found = backfills.begin(db, "tag", ["/notes", "/more"], False, NOW)
    assert (found.state, found.paths, found.total) == ("listing", ("/notes", "/more"), 0)
    assert [one.id for one in backfills.unlisted(db)] == [found.id]
    assert [one.id for one in backfills.unfinished(db)] == [found.id]
    found = begin(db, "a.md", "b.md")
    assert (found.state, found.total, found.ended, found.left_out) == ("running", 2, 0, 1)
    queue.finish(db, claim_job(db), OWNER, NOW)
    queue.fail(db, claim_job(db), OWNER, EmptyInput("empty"), NOW, 0.0)
    found = backfills.get(db, found.id)
    assert (found.state, found.ended) == ("done", 2)
    assert (found.jobs[JobState.DONE], found.jobs[JobState.FAILED]) == (1, 1)
    assert [one.id for one in backfills.find(db, 10)] == [2, 1]
    assert [one.id for one in backfills.unfinished(db)] == [1]


def test_what_is_done_or_queued_already_gets_no_second_job_unless_it_is_asked_for_again(db: Database) -> None:
    add_job(db, "/notes/a.md", "a")
    assert backfills.count_known(db, [old("a.md"), old("b.md")], "hash") == 1
    found = begin(db, "a.md", "b.md")
    assert (found.total, found.known) == (1, 1)
    again = begin(db, "a.md", "b.md", again=True)
    assert (again.total, again.known) == (2, 0)


def test_files_that_are_looked_for_again_after_a_death_are_counted_once(db: Database) -> None:
    found = backfills.begin(db, "tag", ["/notes"], False, NOW)
    add_job(db, "/notes/c.md", "a")
    backfills.add(db, found.id, [old("a.md"), old("c.md")], 3, "hash", "main", NOW)
    backfills.relist(db, found.id)
    backfills.add(db, found.id, [old("a.md"), old("c.md"), old("b.md")], 3, "hash", "main", NOW)
    found = backfills.get(db, found.id)
    assert (found.total, found.known, found.left_out) == (2, 1, 3)


def test_what_happens_now_goes_before_a_backfill(db: Database) -> None:
    begin(db, *(f"{number}.md" for number in range(50)))
    today = add_job(db, "/notes/today.md")
    assert claim_job(db).id == today


def test_a_paused_backfill_waits_and_is_no_work_until_it_is_resumed(db: Database) -> None:
    found = begin(db, "a.md", "b.md", "c.md")
    job = claim_job(db)
    assert backfills.pause(db, found.id).state == "paused"
    assert queue.claim(db, OWNER, "main", NOW) is None
    assert not queue.is_due(db, "main", NOW)
    waiting = backfills.last_queued(db, found.id)
    assert waiting is not None
    assert outlook.find_places(db, [waiting]) == {}
    # One that was at work and returns to the queue does not go on alone.
    queue.release(db, OWNER)
    assert queue.claim(db, OWNER, "main", NOW) is None
    assert backfills.resume(db, found.id).state == "running"
    assert claim_job(db).id == job.id
    assert outlook.find_places(db, [waiting])[waiting].position == 2


def test_jobs_that_are_found_while_it_is_paused_wait_too(db: Database) -> None:
    found = backfills.begin(db, "tag", ["/notes"], False, NOW)
    assert backfills.pause(db, found.id).state == "paused"
    assert backfills.add(db, found.id, [old("a.md")], 0, "hash", "main", NOW)
    assert queue.claim(db, OWNER, "main", NOW) is None


def test_a_cancelled_backfill_ends_its_jobs_and_finds_no_more(db: Database) -> None:
    found = backfills.begin(db, "tag", ["/notes"], False, NOW)
    backfills.add(db, found.id, [old("a.md"), old("b.md")], 0, "hash", "main", NOW)
    job = claim_job(db)
    found, ended = backfills.cancel(db, found.id, NOW)
    assert (found.state, len(ended)) == ("cancelled", 2)
    assert job.id in ended
    assert not backfills.add(db, found.id, [old("c.md")], 0, "hash", "main", NOW)
    assert backfills.unlisted(db) == []


def test_one_that_has_ended_cannot_be_steered(db: Database) -> None:
    found = backfills.begin(db, "tag", ["/notes"], False, NOW)
    backfills.end_listing(db, found.id, NOW, error=UnknownTask("there is no task tag"))
    assert (backfills.get(db, found.id).state, backfills.get(db, found.id).error) == (
        "failed",
        "there is no task tag",
    )
    for steer in (backfills.pause, backfills.resume):
        with pytest.raises(AgentdError, match="failed already"):
            steer(db, found.id)
    with pytest.raises(AgentdError, match="failed already"):
        backfills.cancel(db, found.id, NOW)
    with pytest.raises(NotFound, match="no backfill 99"):
        backfills.pause(db, 99)


def test_a_file_that_nobody_else_watches_is_done_as_it_is_by_now(db: Database) -> None:
    begin(db, "a.md")
    job = claim_job(db)
    assert backfills.follow(db, job, sha("new"))
    assert queue.get(db, job.id).content == sha("new")
    # Changed while the model read it: it is done again, and not left as it was.
    changed = Superseded("changed")
    assert queue.fail(db, job, OWNER, changed, NOW, 0.0, watched=False) is JobState.QUEUED


def test_a_file_that_somebody_watches_is_left_to_the_job_of_its_new_content(db: Database) -> None:
    begin(db, "a.md")
    job = claim_job(db)
    assert queue.fail(db, job, OWNER, Superseded("changed"), NOW, 0.0, watched=True) is JobState.CANCELLED


def test_a_job_does_not_follow_to_a_content_that_has_its_job(db: Database) -> None:
    begin(db, "a.md")
    job = claim_job(db)
    add_job(db, "/notes/a.md", "new")
    assert not backfills.follow(db, job, sha("new"))


def test_a_job_of_no_backfill_follows_nothing(db: Database) -> None:
    add_job(db)
    job = claim_job(db)
    assert not backfills.follow(db, job, sha("new"))
    assert queue.fail(db, job, OWNER, Superseded("changed"), NOW, 0.0, watched=False) is JobState.CANCELLED


def test_what_failed_or_was_cancelled_is_tried_again_and_what_was_run_is_known(db: Database) -> None:
    found = begin(db, "a.md", "b.md")
    queue.fail(db, claim_job(db), OWNER, EmptyInput("empty"), NOW, 0.0)
    backfills.cancel(db, found.id, NOW)
    ran = add_job(db, "/notes/c.md", "a", occasion="run now")
    queue.finish(db, claim_job(db), OWNER, NOW)
    events = [old(name) for name in ("a.md", "b.md", "c.md")]
    assert backfills.count_known(db, events, "hash") == 1
    again = begin(db, "a.md", "b.md", "c.md")
    assert (again.total, again.known, again.jobs[JobState.QUEUED]) == (2, 1, 2)
    assert queue.get(db, ran).state is JobState.DONE
    assert backfills.get(db, found.id).total == 0


def test_a_paused_job_that_a_person_retries_is_claimed_again(db: Database) -> None:
    found = begin(db, "a.md")
    backfills.pause(db, found.id)
    backfills.cancel(db, found.id, NOW)
    (job,) = queue.find(db, backfill=found.id)
    queue.retry_job(db, job.id, NOW)
    assert claim_job(db).id == job.id


def test_a_file_that_a_watch_sees_just_now_does_not_wait_for_its_backfill(db: Database) -> None:
    found = begin(db, "a.md", "b.md")
    backfills.pause(db, found.id)
    file = Taken(make_event("/notes/b.md", "a"), Stamp(1, 1, 1))
    assert positions.take(db, [file], lambda task: ("hash", "main"), NOW) == []
    job = claim_job(db)
    assert (job.source, job.priority) == ("/notes/b.md", Priority.TRIGGERED)
    assert backfills.get(db, found.id).total == 1
