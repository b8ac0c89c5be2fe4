"""When a file is ready: time is passed in."""

from agentd.store.positions import Stamp
from agentd.triggers.settle import LONGEST_GATHERING, Settler

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


def test_a_burst_is_due_once_all_of_it_is_still() -> None:
    settler = Settler(2.0, together=True)
    settler.observe("a", SMALL, 10.0)
    settler.observe("b", SMALL, 11.0)
    assert settler.next_due() == 13.0
    assert settler.due(12.5) == []
    settler.observe("b", LARGE, 12.5)
    assert settler.due(13.5) == []
    assert settler.due(14.5) == [("a", SMALL), ("b", LARGE)]


def test_a_burst_does_not_wait_for_ever_for_a_file_that_never_rests() -> None:
    settler = Settler(2.0, together=True)
    settler.observe("a", SMALL, 10.0)
    last = 10.0 + LONGEST_GATHERING
    for second in range(10, int(last) + 2):
        settler.observe("busy", Stamp(2, second, second), float(second))
    assert settler.due(last) == []
    assert settler.due(last + 2.0) == [("a", SMALL)]
    assert len(settler) == 1
