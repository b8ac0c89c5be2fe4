"""The journal of changes as SQL sees it."""

from pathlib import Path

import pytest

from agentd.errors import ChangeError, EffectFailed, NotFound, NotUndoable, Unreachable
from agentd.records import ChangeState, Plan
from agentd.store import changes
from agentd.store.database import Database
from tests.actions.conftest import plan_changes, tags
from tests.making import NOW, later

ALL = changes.WRITING + changes.FILING + changes.CALLING


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "a.md"
    path.write_text("# Peas\n")
    return path


def test_changes_are_found_by_state_job_time_and_id(db: Database, note: Path) -> None:
    first, second = plan_changes(db, note, [tags(note, "a"), Plan("notify", str(note), {"title": "x"}, auto=True)])
    changes.refuse(db, first)
    assert [one.id for one in changes.find(db)] == [second, first]
    assert [one.id for one in changes.find(db, states=[ChangeState.REFUSED])] == [first]
    assert [one.id for one in changes.find(db, ids=[first])] == [first]
    assert [one.id for one in changes.find(db, job_id=1)] == [second, first]
    assert changes.find(db, job_id=2) == changes.find(db, since=later(1)) == []
    assert changes.count_states(db)[ChangeState.PLANNED] == 1
    assert [one.id for one in changes.due(db, ALL, NOW, 9)] == [second]
    with pytest.raises(NotFound, match="there is no change 9"):
        changes.get(db, 9)


def test_a_webhook_that_does_not_answer_is_tried_five_times_with_growing_pauses(db: Database, note: Path) -> None:
    (change_id,) = plan_changes(db, note, [Plan("webhook", str(note), {"to": "x"}, auto=True)])
    pauses = []
    for _ in range(4):
        changes.begin(db, change_id, target=None, before=None, before_digest=None, after=None, mtime_ns=None)
        change = changes.get(db, change_id)
        assert changes.fail(db, change, Unreachable("down"), NOW, 0.0) is ChangeState.PLANNED
        pauses.append(changes.get(db, change_id).not_before)
        assert changes.due(db, ALL, NOW, 9) == []
    assert pauses == sorted(set(pauses))
    changes.begin(db, change_id, target=None, before=None, before_digest=None, after=None, mtime_ns=None)
    assert changes.fail(db, changes.get(db, change_id), Unreachable("down"), NOW, 0.0) is ChangeState.FAILED
    failed = changes.get(db, change_id)
    assert (failed.attempts, failed.reason, failed.error) == (5, "unreachable", "down")


def test_a_change_that_failed_or_was_refused_can_be_applied_again_by_a_person(db: Database, note: Path) -> None:
    (change_id,) = plan_changes(db, note, [tags(note, "a")])
    changes.fail(db, changes.get(db, change_id), EffectFailed("full"), NOW, 0.0)
    assert changes.get(db, change_id).state is ChangeState.FAILED
    changes.check_appliable(changes.get(db, change_id))
    changes.refuse(db, change_id)
    changes.check_appliable(changes.get(db, change_id))
    changes.begin(db, change_id, target=None, before=None, before_digest=None, after=None, mtime_ns=None)
    with pytest.raises(ChangeError):
        changes.check_appliable(changes.get(db, change_id))


def test_kept_bytes_come_back_and_missing_ones_are_named(db: Database, note: Path) -> None:
    (change_id,) = plan_changes(db, note, [tags(note, "a")])
    raw = b"\x00before" * 100
    changes.begin(db, change_id, target=None, before=raw, before_digest="d1", after="d2", mtime_ns=5)
    assert changes.content(db, "d1") == raw
    with pytest.raises(NotUndoable, match="not kept any more"):
        changes.content(db, "d2")


def test_a_file_that_was_moved_is_known_by_its_new_place(db: Database, note: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "b.md")
    move, later_tags = plan_changes(db, note, [Plan("move", str(note), {"to": target}), tags(note, "a")])
    digest = changes.get(db, move).content
    changes.begin(db, move, target=target, before=None, before_digest=digest, after=digest, mtime_ns=None)
    changes.finish(db, move, NOW)
    assert [row["source"] for row in db.query("SELECT source FROM results")] == [target]
    assert changes.get(db, later_tags).path == target
    assert changes.expected(db, changes.get(db, later_tags)) == [digest]
    assert changes.is_own(db, target, digest)
    changes.begin_undo(db, move, digest)
    changes.finish_undo(db, move, NOW)
    assert [row["source"] for row in db.query("SELECT source FROM results")] == [str(note)]
    assert changes.is_own(db, str(note), digest)
