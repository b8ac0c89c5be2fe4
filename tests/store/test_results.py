import sqlite3

import pytest
from sqlite_utils import Database

from agentd.errors import NotFound, Superseded
from agentd.records import Job, JobState
from agentd.store import documents, queue, results
from agentd.store.database import Store, transaction
from tests.making import NOW, later, make_document, make_event, make_result, sha
from tests.store.conftest import OWNER, add_job, claim_job

OUTPUT = {"title": "Birnen & Äpfel", "tags": ["garden", "kitchen"], "facts": {"month": 2}, "note": None}


def complete(
    db: Database, source: str = "/notes/a.md", text: str = "a", output: object = None, at: float = 0
) -> int:
    queue.add(db, make_event(source, text, occasion=str(at)), "hash", "main", NOW)
    given = {"output": output} if output else {}
    return results.complete(
        db, claim_job(db), OWNER, "hash", make_result(**given), make_document(text, source), later(at)
    )


def test_a_result_comes_back_as_it_was_stored(db: Database) -> None:
    result = make_result(OUTPUT, fake=True)
    add_job(db)
    result_id = results.complete(db, claim_job(db), OWNER, "new hash", result, make_document(), NOW)
    stored = results.get(db, result_id)
    assert stored.result == result
    assert (stored.source, stored.content, stored.task_hash) == ("/notes/a.md", sha("a"), "new hash")
    assert stored.created == "2026-05-04T03:02:01.000Z"
    assert queue.get(db, stored.job_id).state is JobState.DONE


def test_a_job_that_was_cancelled_leaves_no_result(db: Database) -> None:
    job_id = add_job(db)
    job = claim_job(db)
    queue.cancel(db, job_id, NOW)
    with pytest.raises(Superseded), transaction(db):
        results.complete(db, job, OWNER, "hash", make_result(), make_document(), NOW)
    assert results.find(db) == []
    assert documents.load_document(db, sha("a"), "/notes/a.md") is None


async def test_job_result_and_document_commit_together_or_not_at_all(store: Store) -> None:
    def prepare(db: Database) -> Job:
        add_job(db)
        return claim_job(db)

    job = await store.write(prepare)

    def broken(db: Database) -> None:
        results.complete(db, job, OWNER, "hash", make_result(), make_document(), NOW)
        raise sqlite3.IntegrityError("the disk says no")

    with pytest.raises(Exception, match="the disk says no"):
        await store.write(broken)
    assert (await store.read(queue.get, job.id)).state is JobState.RUNNING
    assert await store.read(results.find) == []
    assert await store.read(documents.load_document, sha("a"), "/notes/a.md") is None
    await store.write(results.complete, job, OWNER, "hash", make_result(), make_document(), NOW)
    assert len(await store.read(results.find)) == 1


def test_a_document_is_kept_once_however_often_it_was_read(db: Database) -> None:
    for at in range(3):
        complete(db, text="one\ntwo", at=at)
    assert [row["n"] for row in db.query("SELECT count(*) AS n FROM passages")] == [2]


def test_results_are_found_newest_first_by_task_time_and_job(db: Database) -> None:
    ids = [complete(db, at=number) for number in range(3)]
    assert [stored.id for stored in results.find(db, limit=2)] == [ids[2], ids[1]]
    assert [stored.id for stored in results.find(db, since=later(1))] == [ids[2], ids[1]]
    assert results.find(db, task="other") == []
    job_id = results.get(db, ids[0]).job_id
    assert [stored.id for stored in results.find(db, job_ids=[job_id])] == [ids[0]]
    with pytest.raises(NotFound, match="there is no result 99"):
        results.get(db, 99)


def test_the_latest_result_of_each_source_counts(db: Database) -> None:
    complete(db, text="old", at=1)
    newest = {complete(db, text="new", at=2), complete(db, "/notes/b.md", at=3)}
    assert {stored.id for stored in results.latest(db)} == newest


def test_shares_and_probabilities_that_are_not_there_stay_so(db: Database) -> None:
    add_job(db)
    result_id = results.complete(
        *(db, claim_job(db), OWNER, "hash"), make_result(probabilities={}), make_document(), NOW
    )
    assert [row["probabilities"] for row in db.query("SELECT probabilities FROM results")] == [None]
    db.execute("UPDATE results SET engine_seconds = NULL")
    stored = results.get(db, result_id).result
    assert (stored.engine_seconds, stored.probabilities) == (0.0, {})


def test_a_view_shows_the_results_of_a_task_with_a_column_for_each_property(db: Database) -> None:
    complete(db, output=OUTPUT | {"über alles": "yes", "source": "the model's own"})
    results.write_view(db, "tag", ["title", "tags", "facts", "über alles", "missing", "source"])
    ((result_id, source, title, tags, missing),) = db.execute(
        "SELECT result_id, source, title, tags, missing FROM view_tag "
        "WHERE title LIKE 'Birnen%' AND 'kitchen' IN (SELECT value FROM json_each(tags))"
    )
    assert (result_id, source, title, missing) == (1, "/notes/a.md", OUTPUT["title"], None)
    assert tags == '["garden","kitchen"]'
    columns = [row["name"] for row in db.query("PRAGMA table_info(view_tag)")]
    assert columns[:6] == ["result_id", "source", "created", "title", "tags", "facts"]


@pytest.mark.parametrize("key", ["plain", "über alles", "it's", "a.b[0]"])
def test_any_property_name_can_be_a_column(db: Database, key: str) -> None:
    complete(db, output={key: "found"})
    results.write_view(db, "tag", [key])
    assert [row[key] for row in db.query("SELECT * FROM view_tag")] == ["found"]


def test_a_view_follows_its_task(db: Database) -> None:
    complete(db)
    results.write_view(db, "tag", ["old"])
    results.write_view(db, "tag", ["title"])
    assert [row["title"] for row in db.query("SELECT * FROM view_tag")] == ["Pears"]
    results.write_view(db, "note-tagging", ["title"])
    assert list(db.query("SELECT * FROM view_note_tagging")) == []
