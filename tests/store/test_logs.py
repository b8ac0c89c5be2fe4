"""What is kept of logs: marks, patterns, counts and findings, committed together."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import JobState, timestamp
from agentd.store import findings, logs, queue, results
from agentd.store.findings import Triage
from tests.making import NOW, make_document, make_result
from tests.store.conftest import OWNER
from tests.store.learned import SOURCE, delta, finding, mark, pattern

TWO, NINE = (Triage("log-triage", "hash", "main", number) for number in (2, 9))


def test_what_was_learned_comes_back(db: Database) -> None:
    rows = (pattern(1), pattern(2))
    logs.apply(db, delta(state='{"a": 1}', cursor="c", marks=(mark(9), mark(3)), patterns=rows), NOW)
    assert logs.load(db, SOURCE) == logs.Saved('{"a": 1}', "c", (mark(9), mark(3)), rows)
    assert logs.load(db, "/other.log") is None


def test_marks_move_stay_in_order_and_go(db: Database) -> None:
    logs.apply(db, delta(marks=(mark(9), mark(3), mark(5))), NOW)
    logs.apply(db, delta(marks=(mark(3, 20), mark(9, 30)), gone=(mark(5),)), NOW)
    saved = logs.load(db, SOURCE)
    assert saved is not None
    assert saved.marks == (mark(9, 30), mark(3, 20))


def test_counts_add_up_by_bucket(db: Database) -> None:
    logs.apply(db, delta(buckets=((1, 100, 3), (1, 110, 1), (2, 100, 7))), NOW)
    logs.apply(db, delta(buckets=((1, 110, 4),)), NOW)
    assert logs.counts_since(db, [1, 2], 105) == {1: {100: 3, 110: 5}, 2: {100: 7}}
    assert logs.counts_since(db, [1], 110) == {1: {110: 5}}


def test_old_counts_are_let_go(db: Database) -> None:
    day = 1440 * 20_000
    logs.apply(db, delta(buckets=((1, day - 91 * 1440, 3), (1, day - 89 * 1440, 4))), NOW)
    logs.apply(db, delta(buckets=((1, day, 1),)), NOW)
    assert logs.counts_since(db, [1], 0) == {1: {day - 89 * 1440: 4, day: 1}}


def test_a_pattern_that_merged_is_found_under_both_ids(db: Database) -> None:
    logs.apply(db, delta(patterns=(pattern(1), pattern(2)), buckets=((1, 100, 3), (2, 100, 4))), NOW)
    logs.apply(db, delta(findings=(finding(2),)), NOW)
    logs.apply(db, delta(patterns=(pattern(1, count=10),), merged=((2, 1),)), NOW)
    assert logs.get_pattern(db, 2) == logs.get_pattern(db, 1) == pattern(1, count=10)
    assert logs.counts_since(db, [1, 2], 0) == {1: {100: 7}}
    assert findings.get_finding(db, 1).pattern_id == 1


def test_a_pattern_that_was_let_go_is_gone_and_its_id_never_given_again(db: Database) -> None:
    logs.apply(db, delta(patterns=(pattern(8),), buckets=((8, 100, 3),), next_id=9), NOW)
    logs.apply(db, delta(dropped=(8,), next_id=9), NOW)
    with pytest.raises(NotFound, match="no pattern 8"):
        logs.get_pattern(db, 8)
    assert logs.counts_since(db, [8], 0) == {}
    assert logs.next_pattern_id(db) == 9


def test_patterns_are_listed_the_worst_first_and_filtered(db: Database) -> None:
    late = timestamp(NOW + timedelta(hours=1))
    rows = (pattern(1), pattern(2, severity="error", last=late), pattern(3, source="/other.log"))
    logs.apply(db, delta(patterns=rows), NOW)
    assert [row.id for row in logs.find_patterns(db)] == [3, 2, 1]
    assert [row.id for row in logs.find_patterns(db, source=SOURCE)] == [2, 1]
    assert [row.id for row in logs.find_patterns(db, since=NOW + timedelta(minutes=1))] == [2]
    assert [row.id for row in logs.find_patterns(db, severities=("error", "critical"))] == [2]
    assert [row.id for row in logs.find_patterns(db, limit=1)] == [3]


def test_a_finding_is_one_row_however_often_it_is_judged(db: Database) -> None:
    logs.apply(db, delta(findings=(finding(1), finding(2))), NOW)
    later = NOW + timedelta(hours=1)
    logs.apply(db, delta(findings=(finding(1, count=9, behaviour="burst error 1"),)), later)
    worst, other = findings.find_findings(db)
    assert (worst.pattern_id, worst.count, worst.updated) == (2, 1, timestamp(NOW))
    assert (other.id, other.count, other.found, other.updated) == (1, 9, timestamp(NOW), timestamp(later))


def test_a_muted_finding_stays_muted_and_out_of_sight(db: Database) -> None:
    logs.apply(db, delta(findings=(finding(1),)), NOW)
    assert findings.mute(db, 1, NOW).muted == timestamp(NOW)
    logs.apply(db, delta(findings=(finding(1, count=5),)), NOW)
    assert findings.find_findings(db) == []
    assert [one.count for one in findings.find_findings(db, muted=True)] == [5]
    assert findings.admit(db, SOURCE, NINE, NOW) == []
    assert findings.unmute(db, 1).muted is None
    for change in (lambda: findings.mute(db, 7, NOW), lambda: findings.unmute(db, 7)):
        with pytest.raises(NotFound, match="no finding 7"):
            change()


def test_a_model_is_asked_about_the_worst_first_within_the_hour(db: Database) -> None:
    logs.apply(db, delta(findings=tuple(finding(number) for number in range(1, 6))), NOW)
    ids = findings.admit(db, SOURCE, TWO, NOW)
    assert [queue.get(db, job_id).source for job_id in ids] == ["log:5", "log:4"]
    assert findings.admit(db, SOURCE, TWO, NOW + timedelta(minutes=59)) == []
    assert [one.looked_at for one in findings.find_findings(db)] == [True, True, False, False, False]
    later = NOW + timedelta(minutes=61)
    ids = findings.admit(db, SOURCE, TWO, later)
    assert [queue.get(db, job_id).source for job_id in ids] == ["log:3", "log:2"]


def test_a_model_is_asked_again_only_when_something_changed(db: Database) -> None:
    logs.apply(db, delta(findings=(finding(1),)), NOW)
    assert len(findings.admit(db, SOURCE, NINE, NOW)) == 1
    logs.apply(db, delta(findings=(finding(1, count=3, document="what happened: 1, 3 times"),)), NOW)
    assert findings.admit(db, SOURCE, NINE, NOW) == []
    changed = finding(1, behaviour="burst error 2", document="what happened: 1, in a burst")
    logs.apply(db, delta(findings=(changed,)), NOW)
    assert len(findings.admit(db, SOURCE, NINE, NOW)) == 1


def test_the_newest_answer_about_a_finding_is_found(db: Database) -> None:
    logs.apply(db, delta(findings=(finding(1), finding(2))), NOW)
    for _ in range(2):
        findings.admit(db, SOURCE, replace(TWO, per_hour=1), NOW)
        job = queue.claim(db, OWNER, "main", NOW)
        if job is not None:
            document = make_document("what happened: 2", job.source)
            last = results.complete(db, job, OWNER, "hash", make_result(), document, NOW)
            assert queue.get(db, job.id).state is JobState.DONE
    assert {key: stored.id for key, stored in findings.answers(db, [1, 2]).items()} == {2: last}
