"""When a problem is worth telling, by a clock that is passed in."""

from agentd.daemon.wellness import Wellness


def test_what_passes_within_a_minute_is_not_told() -> None:
    wellness = Wellness(())
    assert wellness.look(["model main"], 0) == (set(), set())
    assert wellness.look(["model main"], 59) == (set(), set())
    assert wellness.look([], 60) == (set(), set())
    assert wellness.look(["model main"], 61) == (set(), set())
    assert wellness.look(["model main"], 120) == (set(), set())


def test_what_lasts_is_told_once() -> None:
    wellness = Wellness(())
    wellness.look(["disk /", "duty work"], 0)
    assert wellness.look(["disk /", "duty work"], 60) == ({"disk /", "duty work"}, set())
    assert wellness.look(["disk /", "duty work"], 120) == (set(), set())


def test_what_comes_and_goes_is_one_problem_until_it_stayed_away() -> None:
    wellness = Wellness(())
    wellness.look(["disk /"], 0)
    assert wellness.look(["disk /"], 60) == ({"disk /"}, set())
    assert wellness.look([], 100) == (set(), set())
    assert wellness.look(["disk /"], 600) == (set(), set())
    assert wellness.look(["disk /"], 700) == (set(), set())
    assert wellness.look([], 800) == (set(), set())
    assert wellness.look([], 1400) == (set(), {"disk /"})
    wellness.look(["disk /"], 1500)
    assert wellness.look(["disk /"], 1560) == ({"disk /"}, set())


def test_what_was_told_before_a_restart_is_not_told_again_and_is_over_in_time() -> None:
    wellness = Wellness({"disk /", "duty work"})
    assert wellness.look(["disk /"], 5) == (set(), set())
    assert wellness.look(["disk /"], 65) == (set(), set())
    assert wellness.look(["disk /"], 605) == (set(), {"duty work"})
