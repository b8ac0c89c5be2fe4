from dataclasses import replace

import pytest
from sqlite_utils import Database

from agentd.errors import AgentdError, Superseded, TooLarge, Vanished
from agentd.records import Job, JobState
from agentd.store import positions, queue, results
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, later, make_document, make_event, make_result, sha
from tests.store.conftest import OWNER, claim_job

A, B = "/notes/a.md", "/notes/b.md"


class Disk:
    """Looks at files: every look is another stamp, as after a save."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.looks = 0
        self.task_hash = "hash"

    def take(self, source: str, text: str, *, wanted: bool = True, **given: object) -> list[int]:
        self.looks += 1
        file = Taken(make_event(source, text, **given), Stamp(1, len(text), self.looks), wanted)
        return positions.take(self.db, [file], lambda _: (self.task_hash, "main"), NOW)

    def do(self, error: AgentdError | None = None) -> Job:
        """Claim the next job and end it."""
        job = claim_job(self.db)
        if error:
            queue.fail(self.db, job, OWNER, error, NOW, 0.0)
        else:
            document = replace(make_document(), content=job.content)
            results.complete(self.db, job, OWNER, "hash", make_result(), document, NOW)
        return queue.get(self.db, job.id)

    def lose(self, source: str) -> None:
        positions.mark_gone(self.db, "tag", [source], NOW)

    def idle(self) -> bool:
        return queue.claim(self.db, OWNER, "main", later(99999)) is None


@pytest.fixture
def disk(db: Database) -> Disk:
    return Disk(db)


def test_the_same_content_under_the_same_path_is_one_job(disk: Disk) -> None:
    assert len(disk.take(A, "one")) == 1
    assert disk.take(A, "one") == []
    disk.do()
    assert disk.take(A, "one") == []


def test_an_edited_file_is_a_new_job(disk: Disk) -> None:
    disk.take(A, "one")
    disk.do()
    assert len(disk.take(A, "two")) == 1
    assert disk.do().content == sha("two")


def test_content_that_returns_is_done_again_each_time(disk: Disk) -> None:
    for text in ("one", "two", "one", "two", "one"):
        assert len(disk.take(A, text)) == 1, text
        disk.do()
    assert len(queue.find(disk.db, state=JobState.DONE)) == 5


def test_content_that_returns_is_done_even_where_the_task_changed_in_between(disk: Disk) -> None:
    for text in ("one", "two", "one"):
        disk.take(A, text)
        disk.do()
    # A job that ran after its task had changed bears the new hash.
    disk.db.execute("UPDATE jobs SET task_hash = 'new hash' WHERE id = 3")
    disk.task_hash = "new hash"
    for text in ("two", "one"):
        assert len(disk.take(A, text)) == 1, text
        disk.do()


def test_content_that_returns_while_its_job_still_waits_is_not_done_twice(disk: Disk) -> None:
    disk.take(A, "one")
    disk.take(A, "two")
    assert disk.take(A, "one") == []
    assert len(queue.find(disk.db)) == 2


def test_a_changed_task_makes_no_job_for_a_file_that_was_only_touched_or_moved(disk: Disk) -> None:
    disk.take(A, "one")
    disk.do()
    disk.task_hash = "new hash"
    assert disk.take(A, "one") == []
    disk.lose(A)
    assert disk.take(B, "one") == []


def test_a_file_that_is_skipped_stays_skipped_until_its_content_changes(disk: Disk) -> None:
    assert disk.take(A, "one", wanted=False) == []
    assert disk.take(A, "one") == []
    disk.lose(A)
    assert disk.take(B, "one") == []
    assert len(disk.take(B, "two")) == 1


def test_a_file_that_was_run_by_hand_is_not_done_again_when_its_folder_is_watched(disk: Disk) -> None:
    queue.add(disk.db, make_event(A, "one", occasion="run 1"), "hash", "main", NOW)
    disk.do()
    assert disk.take(A, "one") == []


def test_a_rename_takes_jobs_and_results_along(disk: Disk) -> None:
    disk.take(A, "one")
    disk.do()
    disk.lose(A)
    assert disk.take(B, "one") == []
    assert [job.source for job in queue.find(disk.db)] == [B]
    assert [stored.source for stored in results.find(disk.db)] == [B]
    assert list(positions.load(disk.db, "tag", "/notes/")) == [B]
    # The old name is free: the same content there is a file of its own.
    assert len(disk.take(A, "one")) == 1


def test_a_copy_is_not_a_rename(disk: Disk) -> None:
    disk.take(A, "one")
    disk.do()
    assert len(disk.take(B, "one")) == 1
    assert disk.do().source == B
    assert {stored.source for stored in results.find(disk.db)} == {A, B}


def test_a_rename_while_the_model_works_gives_the_result_to_the_new_name(disk: Disk) -> None:
    disk.take(A, "one")
    job = claim_job(disk.db)
    disk.lose(A)
    disk.take(B, "one")
    results.complete(disk.db, job, OWNER, "hash", make_result(), make_document("one"), NOW)
    assert [stored.source for stored in results.find(disk.db)] == [B]
    assert disk.idle()


def test_a_rename_onto_a_name_that_did_the_same_content_keeps_both_histories(disk: Disk) -> None:
    for source in (A, B):
        disk.take(source, "one")
        disk.do()
    disk.lose(A)
    disk.take(B, "two")
    disk.do()
    assert len(disk.take(B, "one")) == 1
    disk.do()
    assert [stored.source for stored in results.find(disk.db)] == [B, B, B, A]


@pytest.mark.parametrize("name", [A, B])
def test_a_file_that_vanished_before_it_was_read_is_done_when_it_is_back(disk: Disk, name: str) -> None:
    disk.take(A, "one")
    lost = disk.do(Vanished())
    disk.lose(A)
    assert disk.take(name, "one") == [lost.id]
    done = disk.do()
    assert (done.id, done.source, done.state) == (lost.id, name, JobState.DONE)
    assert disk.take(name, "one") == []


def test_a_save_that_was_read_half_way_is_done_when_it_is_whole(disk: Disk) -> None:
    disk.take(A, "one")
    missed = disk.do(Superseded())
    assert disk.take(A, "one") == [missed.id]
    assert disk.do().state is JobState.DONE


def test_a_job_that_a_person_cancelled_is_not_queued_again_by_a_touch(disk: Disk) -> None:
    (job_id,) = disk.take(A, "one")
    queue.cancel(disk.db, job_id, NOW)
    assert disk.take(A, "one") == []


def test_a_refused_file_is_a_failed_job_once_and_a_good_one_once_it_is_mended(disk: Disk) -> None:
    (job_id,) = disk.take(A, "", content="too-large:9:1", refusal=TooLarge("9 bytes"))
    assert queue.get(disk.db, job_id).state is JobState.FAILED
    assert disk.take(A, "", content="too-large:9:1", refusal=TooLarge("9 bytes")) == []
    assert len(disk.take(A, "one")) == 1


def test_tasks_that_watch_the_same_file_do_not_see_each_other(disk: Disk) -> None:
    assert len(disk.take(A, "one")) == 1
    assert len(disk.take(A, "one", task="summarise")) == 1
    positions.mark_gone(disk.db, "tag", [A], NOW)
    assert not positions.load(disk.db, "summarise", "/notes/")[A].gone


def test_positions_of_a_folder_are_loaded_as_they_were_taken(disk: Disk) -> None:
    disk.take(A, "one")
    disk.take("/other/a.md", "one")
    disk.take("/notes_2/a.md", "one")
    disk.take("file:///notes/%FF.md", "odd")
    disk.lose(A)
    found = positions.load(disk.db, "tag", "/notes/")
    assert found[A] == positions.Position(Stamp(1, 3, 1), sha("one"), gone=True)
    assert set(found) == {A, "file:///notes/%FF.md"}


def test_a_file_that_is_back_is_not_gone(disk: Disk) -> None:
    disk.take(A, "one")
    disk.lose(A)
    disk.take(A, "one")
    assert not positions.load(disk.db, "tag", "/notes/")[A].gone


def test_a_folder_is_scanned_for_each_task_apart(db: Database) -> None:
    for _ in range(2):
        positions.note_scanned(db, "tag", "/notes", NOW)
    assert positions.was_scanned(db, "tag", "/notes")
    assert not positions.was_scanned(db, "summarise", "/notes")
    assert not positions.was_scanned(db, "tag", "/other")
