"""When a problem is worth telling, by a clock that is passed in."""

from collections.abc import Sequence

from agentd.daemon.wellness import Wellness


def look(wellness: Wellness, keys: Sequence[str], now: float) -> tuple[set[str], set[str]]:
    """Look, and do what is to be done."""
    begun, over = wellness.look(keys, now)
    wellness.begin(begun)
    wellness.end(over)
    return begun, over


def test_what_passes_within_a_minute_is_not_told() -> None:
    wellness = Wellness(())
    assert look(wellness, ["model main"], 0) == (set(), set())
    assert look(wellness, ["model main"], 59) == (set(), set())
    assert look(wellness, [], 60) == (set(), set())
    assert look(wellness, ["model main"], 61) == (set(), set())
    assert look(wellness, ["model main"], 120) == (set(), set())


def test_what_lasts_is_told_once() -> None:
    wellness = Wellness(())
    look(wellness, ["disk /", "duty work"], 0)
    assert look(wellness, ["disk /", "duty work"], 60) == ({"disk /", "duty work"}, set())
    assert look(wellness, ["disk /", "duty work"], 120) == (set(), set())


def test_what_comes_and_goes_is_one_problem_until_it_stayed_away() -> None:
    wellness = Wellness(())
    look(wellness, ["disk /"], 0)
    assert look(wellness, ["disk /"], 60) == ({"disk /"}, set())
    assert look(wellness, [], 100) == (set(), set())
    assert look(wellness, ["disk /"], 600) == (set(), set())
    assert look(wellness, ["disk /"], 700) == (set(), set())
    assert look(wellness, [], 800) == (set(), set())
    assert look(wellness, [], 1400) == (set(), {"disk /"})
    look(wellness, ["disk /"], 1500)
    assert look(wellness, ["disk /"], 1560) == ({"disk /"}, set())


def test_what_was_told_before_a_restart_is_not_told_again_and_is_over_in_time() -> None:
    wellness = Wellness({"disk /", "duty work"})
    assert look(wellness, ["disk /"], 5) == (set(), set())
    assert look(wellness, ["disk /"], 65) == (set(), set())
    assert look(wellness, ["disk /"], 605) == (set(), {"duty work"})


def test_what_could_not_be_done_is_to_be_done_at_the_next_look() -> None:
    wellness = Wellness({"duty work"})
    wellness.look(["disk /"], 0)
    for second in (600, 610):
        assert wellness.look(["disk /"], second) == ({"disk /"}, {"duty work"})
