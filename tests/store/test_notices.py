"""What happened is noted with it, becomes notices once, and leaves in messages: on a real database."""

from datetime import timedelta
from typing import Any

import pytest

from agentd.errors import EmptyInput, EngineTimeout, InvalidOutput, Unreachable
from agentd.records import log_source, timestamp
from agentd.store import findings, notices, queue, results
from agentd.store.database import Database
from agentd.store.notices import Message, Notice
from tests.making import NOW, later, make_document, make_result
from tests.store.conftest import OWNER, add_job, claim_job
from tests.store.learned import finding


def noted(db: Database) -> list[tuple[str, int]]:
    return [(row.about, row.ref) for row in notices.untold(db, 100)]


def notice(key: str = "job 1 x", place: str = "phone", **given: Any) -> Notice:
    values: dict[str, Any] = {"about": "quarantined", "ref": 1, "severity": "error", "title": "t", "text": "u"}
    return Notice(key, place, created=timestamp(NOW), **values | given)


def gather(db: Database, place: str = "phone") -> Message:
    message = notices.gather(db, place, NOW)
    assert message is not None
    return message


def test_a_job_is_noted_when_it_ends_badly_and_not_when_it_is_tried_again(db: Database) -> None:
    add_job(db)
    queue.fail(db, claim_job(db), OWNER, EngineTimeout("late"), NOW, 0.0)
    assert noted(db) == []
    db.execute("UPDATE jobs SET not_before = created, attempts = 4")
    queue.fail(db, claim_job(db), OWNER, EngineTimeout("late"), NOW, 0.0)
    assert noted(db) == [("quarantined", 1)]
    queue.retry_job(db, 1, NOW)
    queue.fail(db, claim_job(db), OWNER, InvalidOutput("no"), NOW, 0.0)
    assert noted(db) == [("quarantined", 1), ("failed", 1)]


def test_a_job_that_is_refused_at_once_is_noted(db: Database) -> None:
    add_job(db, refusal=EmptyInput("empty"))
    assert noted(db) == [("failed", 1)]


def test_a_finding_is_noted_when_it_is_new_and_when_it_behaves_otherwise(db: Database) -> None:
    findings.put_findings(db, [finding(1)], NOW)
    findings.put_findings(db, [finding(1, count=2, last=timestamp(later(60)))], later(60))
    assert noted(db) == [("finding", 1)]
    findings.put_findings(db, [finding(1, behaviour="new error 2")], later(120))
    findings.put_findings(db, [finding(1, behaviour="new error 2", score=80)], later(180))
    assert noted(db) == [("finding", 1)] * 3


def test_the_word_of_a_model_about_a_finding_is_noted(db: Database) -> None:
    findings.put_findings(db, [finding(1)], NOW)
    add_job(db, log_source(1))
    document = make_document("a", log_source(1))
    results.complete(db, claim_job(db), OWNER, "hash", make_result(), document, NOW)
    assert noted(db) == [("finding", 1), ("finding", 1)]


@pytest.mark.parametrize(("origin", "told"), [("schedule daily", True), ("watch /notes tag", False), ("", False)])
def test_of_results_those_of_schedules_are_noted(db: Database, origin: str, told: bool) -> None:
    add_job(db, origin=origin)
    results.complete(db, claim_job(db), OWNER, "hash", make_result(), make_document("a", "/notes/a.md"), NOW)
    assert noted(db) == ([("digest", 1)] if told else [])


def test_what_happened_in_a_transaction_that_was_rolled_back_is_not_noted(db: Database) -> None:
    db.execute("BEGIN IMMEDIATE")
    findings.put_findings(db, [finding(1)], NOW)
    db.execute("ROLLBACK")
    assert noted(db) == []


def test_what_happened_before_somebody_asked_to_be_told_is_not_told(db: Database) -> None:
    findings.put_findings(db, [finding(1)], NOW)
    add_job(db, refusal=EmptyInput("empty"))
    notices.configure(db, {"finding"}, NOW)
    assert noted(db) == [("failed", 1)]
    findings.put_findings(db, [finding(2)], NOW)
    notices.configure(db, {"finding", "failed"}, later(1))
    assert noted(db) == [("finding", 2)]
    assert notices.configured(db) == {"finding", "failed"}
    notices.configure(db, set(), later(2))
    assert notices.configured(db) == set()


def test_a_thing_is_kept_once_for_each_place_and_looked_at_once(db: Database) -> None:
    findings.put_findings(db, [finding(1), finding(2)], NOW)
    notices.record(db, 1, [notice("a"), notice("a", "pager")])
    assert noted(db) == [("finding", 2)]
    notices.record(db, 2, [notice("a"), notice("b")])
    assert [one.key for one in notices.pending(db, "phone")] == ["a", "b"]
    assert [one.key for one in notices.pending(db, "pager")] == ["a"]
    assert notices.waiting_places(db) == ["pager", "phone"]


def test_a_message_takes_all_that_waits_and_is_the_only_one_on_its_way(db: Database) -> None:
    notices.record(db, 0, [notice("a"), notice("b"), notice("c", "pager")])
    message = gather(db)
    assert [one.key for one in message.notices] == ["a", "b"]
    notices.record(db, 0, [notice("d")])
    assert notices.unsent(db, "phone") == message
    assert [one.key for one in notices.pending(db, "phone")] == ["d"]
    assert notices.gather(db, "nobody", NOW) is None


def test_what_was_told_is_never_told_again(db: Database) -> None:
    notices.record(db, 0, [notice("a")])
    notices.sent(db, gather(db).id, later(5))
    notices.record(db, 0, [notice("a")])
    assert notices.waiting_places(db) == []
    assert notices.sent_since(db, "phone", NOW) == [later(5)]
    assert notices.sent_since(db, "phone", later(5)) == []


def test_a_message_is_tried_again_later_each_time_and_given_up_after_a_day(db: Database) -> None:
    notices.record(db, 0, [notice("a")])
    message = gather(db)
    error = Unreachable("example.org answered 503")
    failed = notices.fail(db, message, error, later(0), 0.0, final=False)
    assert (failed.state, failed.attempts, failed.not_before) == ("sending", 1, timestamp(later(5)))
    failed = notices.fail(db, failed, error, later(5), 0.0, final=False)
    assert (failed.attempts, failed.not_before) == (2, timestamp(later(15)))
    assert failed.webhook_id == message.webhook_id
    assert [one.attempts for one in notices.in_trouble(db, NOW)] == [2]
    day = NOW + timedelta(days=1)
    failed = notices.fail(db, failed, error, day, 0.0, final=False)
    assert (failed.state, failed.ended, failed.error) == ("failed", timestamp(day), "example.org answered 503")
    assert notices.waiting_places(db) == []
    assert [one.id for one in notices.in_trouble(db, NOW)] == [message.id]
    assert notices.in_trouble(db, day) == []


def test_a_refusal_is_given_up_at_once_and_forgotten_when_the_place_is_told_again(db: Database) -> None:
    notices.record(db, 0, [notice("a")])
    assert notices.fail(db, gather(db), Unreachable("no"), NOW, 0.0, final=True).state == "failed"
    assert len(notices.in_trouble(db, later(-1))) == 1
    notices.record(db, 0, [notice("b")])
    notices.sent(db, gather(db).id, later(1))
    assert notices.in_trouble(db, later(-1)) == []


def test_a_problem_is_told_once_until_it_is_over(db: Database) -> None:
    notices.begin_problems(db, {"disk /": [notice("problem disk / 1")]}, NOW)
    notices.begin_problems(db, {"disk /": [notice("problem disk / 2")]}, later(1))
    assert [one.key for one in notices.pending(db, "phone")] == ["problem disk / 1"]
    assert notices.problems(db) == {"disk /"}
    notices.end_problems(db, {"disk /"})
    notices.begin_problems(db, {"disk /": [notice("problem disk / 3")]}, later(2))
    assert [one.key for one in notices.pending(db, "phone")] == ["problem disk / 1", "problem disk / 3"]


def test_a_list_shows_each_notice_with_its_message(db: Database) -> None:
    notices.record(db, 0, [notice("a")])
    notices.sent(db, gather(db).id, later(5))
    notices.record(db, 0, [notice("b")])
    (newest, waiting), (oldest, told) = notices.find(db, limit=10)
    assert (newest.key, waiting) == ("b", None)
    assert told is not None
    assert (oldest.key, told.state, told.attempts, told.ended) == ("a", "sent", 1, timestamp(later(5)))
