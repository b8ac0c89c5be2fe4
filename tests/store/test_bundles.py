from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from agentd.errors import NotFound, TooLarge
from agentd.records import JobState, Priority, folder_of, is_bundle
from agentd.store import bundles, positions, queue, results, search
from agentd.store.bundles import Member, Mode
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, later, make_document, make_event, make_result, sha
from tests.store.conftest import OWNER, claim_job

FOLDER = Path("/notes")


def taken(name: str, text: str, **given: object) -> Taken:
    return Taken(make_event(f"/notes/{name}", text, **given), Stamp(1, len(text), 1))


def take(db: Database, *files: Taken, mode: Mode = "queued", seconds: float = 0) -> bundles.Bundled:
    return bundles.take(db, files, FOLDER, mode, lambda task: ("hash", "main"), later(seconds))


def test_files_that_were_taken_together_are_one_job_that_knows_them(db: Database) -> None:
    (job_id,) = take(db, taken("b.md", "b"), taken("a.md", "a")).added
    job = queue.get(db, job_id)
    assert (job.source, job.state) == (f"/notes//{job.content[:12]}", "queued")
    assert is_bundle(job.source)
    assert folder_of(job.source) == FOLDER
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
    assert bundles.is_busy(db, "tag", FOLDER)
    # Another folder does not wait for this one.
    (other,) = bundles.take(
        db, [taken("c.md", "c")], Path("/other"), "queued", lambda task: ("hash", "main"), NOW
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


def test_a_restart_of_very_many_files_makes_jobs_of_a_size_that_can_be_done(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "MOST_FILES", 3)
    take(db, *(taken(f"{number}.md", "a") for number in range(3)), mode="restart")
    found = take(db, *(taken(f"{number}.md", "a") for number in range(3, 5)), mode="restart", seconds=1)
    sizes = [len(bundles.load(db, queue.get(db, job_id).content)) for job_id in found.added]
    assert sizes == [3, 2]
    assert sizes[0] + sizes[1] == next(iter(db.query("SELECT count(*) AS n FROM bundles")))["n"]


def test_a_file_that_was_missed_by_its_bundle_is_news_when_it_is_back_as_it_was(
    db: Database,
) -> None:
    (job_id,) = take(db, taken("a.md", "a"), taken("b.md", "b")).added
    bundles.note_missed(db, queue.get(db, job_id).content, ["/notes/b.md"])
    (again,) = take(db, taken("a.md", "a"), taken("b.md", "b"), seconds=1).added
    assert bundles.load(db, queue.get(db, again).content) == [Member("/notes/b.md", sha("b"))]
    assert take(db, taken("b.md", "b"), seconds=2).added == []


def test_a_file_that_is_renamed_while_its_bundle_waits_is_found_under_its_new_name(db: Database) -> None:
    (job_id,) = take(db, taken("a.md", "a")).added
    positions.mark_gone(db, "tag", ["/notes/a.md"], later(1))
    assert take(db, taken("new.md", "a"), seconds=2).added == []
    assert bundles.load(db, queue.get(db, job_id).content) == [Member("/notes/new.md", sha("a"))]


def test_the_text_of_every_bundle_is_found_while_one_of_its_files_is_as_it_was(db: Database) -> None:
    for number, name in enumerate(("quince", "plums")):
        take(db, taken(f"{name}.md", name), seconds=-number)
        job = claim_job(db)
        document = replace(make_document(f"All about {name}.", job.source), content=job.content)
        results.complete(db, job, OWNER, "hash", make_result(), document, NOW)
    assert len(results.latest(db)) == 2
    assert [len(search.find_passages(db, [name], 5)) for name in ("quince", "plums")] == [1, 1]
    take(db, taken("quince.md", "other"), seconds=1)
    assert [len(search.find_passages(db, [name], 5)) for name in ("quince", "plums")] == [0, 1]
