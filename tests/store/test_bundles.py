import pytest
from sqlite_utils import Database

from agentd.errors import NotFound, TooLarge
from agentd.records import JobState, Priority
from agentd.store import bundles, queue
from agentd.store.bundles import Member, Mode
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, later, make_event, sha
from tests.store.conftest import OWNER, claim_job

SOURCE = "/notes/"


def taken(name: str, text: str, **given: object) -> Taken:
    return Taken(make_event(f"/notes/{name}", text, **given), Stamp(1, len(text), 1))


def take(db: Database, *files: Taken, mode: Mode = "queued", seconds: float = 0) -> bundles.Bundled:
    return bundles.take(db, files, SOURCE, mode, lambda task: ("hash", "main"), later(seconds))


def test_files_that_were_taken_together_are_one_job_that_knows_them(db: Database) -> None:
    (job_id,) = take(db, taken("b.md", "b"), taken("a.md", "a")).added
    job = queue.get(db, job_id)
    assert (job.source, job.state) == (SOURCE, "queued")
    assert bundles.load(db, job.content) == [Member("/notes/a.md", sha("a")), Member("/notes/b.md", sha("b"))]
    with pytest.raises(NotFound):
        bundles.load(db, sha("other"))


def test_files_that_are_no_news_make_no_job(db: Database) -> None:
    take(db, taken("a.md", "a"))
    assert take(db, taken("a.md", "a"), seconds=1).added == []
    (job_id,) = take(db, taken("a.md", "a"), taken("b.md", "b"), seconds=2).added
    assert [member.source for member in bundles.load(db, queue.get(db, job_id).content)] == ["/notes/b.md"]


def test_the_same_files_with_the_same_contents_are_done_again_when_they_return(db: Database) -> None:
    ids = [take(db, taken("a.md", text), seconds=number).added for number, text in enumerate("ABA")]
    assert [len(added) for added in ids] == [1, 1, 1]


def test_the_job_of_a_bundle_is_as_urgent_as_its_most_urgent_file(db: Database) -> None:
    old = taken("a.md", "a", priority=Priority.BACKFILL)
    (job_id,) = take(db, old, taken("b.md", "b")).added
    assert queue.get(db, job_id).priority is Priority.TRIGGERED


def test_a_refused_file_is_a_failed_job_of_its_own(db: Database) -> None:
    refused = taken("a.md", "a", refusal=TooLarge("/notes/a.md is too large"))
    failed, job = take(db, refused, taken("b.md", "b")).added
    assert (queue.get(db, failed).state, queue.get(db, failed).source) == (JobState.FAILED, "/notes/a.md")
    assert len(bundles.load(db, queue.get(db, job).content)) == 1


def test_bundles_of_a_folder_are_done_one_at_a_time_and_in_order(db: Database) -> None:
    first = take(db, taken("a.md", "a")).added
    second = take(db, taken("b.md", "b"), seconds=1).added
    job = claim_job(db)
    assert [job.id] == first
    assert queue.claim(db, OWNER, "main", later(2)) is None
    assert not queue.is_due(db, "main", later(2))
    assert bundles.is_busy(db, "tag", SOURCE)
    # Another folder does not wait for this one.
    (other,) = bundles.take(
        db, [taken("c.md", "c")], "/other/", "queued", lambda task: ("hash", "main"), NOW
    ).added
    assert claim_job(db).id == other
    assert queue.finish(db, job, OWNER, NOW)
    last = queue.claim(db, OWNER, "main", later(1))
    assert last is not None
    assert [last.id] == second


def test_bundles_that_may_be_parallel_are_claimed_side_by_side(db: Database) -> None:
    take(db, taken("a.md", "a"), mode="parallel", seconds=-1)
    take(db, taken("b.md", "b"), mode="parallel")
    assert claim_job(db).id != claim_job(db).id


def test_a_restart_cancels_what_has_not_ended_and_keeps_its_files_with_their_newest_content(db: Database) -> None:
    (first,) = take(db, taken("a.md", "a"), taken("b.md", "b"), mode="restart").added
    claim_job(db)
    found = take(db, taken("b.md", "new"), mode="restart", seconds=1)
    assert found.cancelled == [first]
    assert queue.get(db, first).state is JobState.CANCELLED
    (second,) = found.added
    members = bundles.load(db, queue.get(db, second).content)
    assert members == [Member("/notes/a.md", sha("a")), Member("/notes/b.md", sha("new"))]
    job = queue.claim(db, OWNER, "main", later(1))
    assert job is not None
    assert queue.finish(db, job, OWNER, NOW)
    (third,) = take(db, taken("c.md", "c"), mode="restart", seconds=2).added
    assert [member.source for member in bundles.load(db, queue.get(db, third).content)] == ["/notes/c.md"]
