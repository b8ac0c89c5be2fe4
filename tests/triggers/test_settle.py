"""When a file is ready: time is passed in."""

from agentd.store.positions import Stamp
from agentd.triggers.settle import Settler

SMALL, LARGE = Stamp(1, 10, 100), Stamp(1, 20, 200)


def test_a_file_is_due_once_it_was_still_for_long_enough() -> None:
    settler = Settler(2.0)
    settler.observe("a", SMALL, 10.0)
    assert settler.due(11.9) == []
    assert settler.next_due() == 12.0
    assert settler.due(12.0) == [("a", SMALL)]
    assert settler.due(99.0) == []
    assert settler.next_due() is None


def test_looking_again_does_not_prolong_the_wait_and_a_change_does() -> None:
    settler = Settler(2.0)
    settler.observe("a", SMALL, 10.0)
    settler.observe("a", SMALL, 11.5)
    assert settler.next_due() == 12.0
    settler.observe("a", LARGE, 11.5)
    assert settler.due(12.5) == []
    assert settler.due(13.5) == [("a", LARGE)]


def test_a_file_that_is_gone_is_not_due() -> None:
    settler = Settler(2.0)
    settler.observe("a", SMALL, 10.0)
    settler.observe("b", SMALL, 11.0)
    settler.forget("a")
    settler.forget("never seen")
    assert len(settler) == 1
    assert settler.next_due() == 13.0
    assert settler.due(20.0) == [("b", SMALL)]


def test_nothing_to_wait_for_with_no_time_to_settle() -> None:
    settler = Settler(0.0)
    settler.observe("a", SMALL, 10.0)
    assert settler.due(10.0) == [("a", SMALL)]
