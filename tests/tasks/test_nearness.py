"""The vote of near notes: what all have in common does not count, nor does a vote of few."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.model import VECTOR_TYPE
from agentd.tasks.nearness import vote


def vector(*numbers: float) -> bytes:
    wide = np.array(numbers)
    return (wide / np.linalg.norm(wide)).astype(VECTOR_TYPE).tobytes()


def crowd(*towards: Sequence[float], each: int = 10) -> list[bytes]:
    """So many notes about each of these directions, with a little of chance."""
    chance = np.random.default_rng(3)
    return [
        vector(*(np.array(one) + chance.normal(scale=0.1, size=len(one)))) for one in towards for _ in range(each)
    ]


def test_the_tag_of_the_near_ones_gains_what_the_others_lose() -> None:
    others = crowd((1, 0, 0), (0, 1, 0), (0, 0, 1))
    voted = vote(vector(1, 0.2, 0), others, [["sql"]] * 10 + [["garden"]] * 10 + [["bread"]] * 10)
    assert voted.nats["sql"] > 0.7 > 0 > voted.nats["bread"]
    assert voted.nats["sql"] <= np.log(3), "no more than from a third of the notes to all of the votes"
    assert set(voted.order[:10]) == set(range(10))


def test_what_all_vectors_have_in_common_says_nothing() -> None:
    tags = [["sql"]] * 10 + [["garden"]] * 10
    apart = vote(vector(1, 0, 0), crowd((1, 0, 0), (0, 1, 0)), tags)
    # The vectors of many models lie in a narrow cone: all cosines are near to 1.
    close = vote(vector(1, 0, 9), crowd((1, 0, 9), (0, 1, 9)), tags)
    assert close.nats["sql"] > apart.nats["sql"] / 2


def test_a_tag_that_every_note_has_and_one_that_none_has_say_nothing() -> None:
    voted = vote(vector(1, 0), crowd((1, 0), (0, 1)), [["note"]] * 20)
    assert voted.nats == {"note": pytest.approx(0.0, abs=1e-6)}


def test_few_notes_say_less_than_many() -> None:
    few = vote(vector(1, 0), crowd((1, 0), (0, 1), each=1), [["a"], ["b"]])
    many = vote(vector(1, 0), crowd((1, 0), (0, 1), each=20), [["a"]] * 20 + [["b"]] * 20)
    assert 0 < few.nats["a"] < many.nats["a"]


def test_one_note_or_none_says_nothing() -> None:
    assert vote(vector(1, 0), [], []).nats == {}
    assert vote(vector(1, 0), [vector(0, 1)], [["a"]]).nats == {"a": pytest.approx(0.0)}
    assert vote(vector(1, 0), [vector(0, 1)] * 3, [["a"], ["a"], ["b"]]).nats["b"] == pytest.approx(0.0, abs=1e-6)


NUMBERS = st.lists(st.floats(-1, 1).map(lambda one: round(one, 2)), min_size=3, max_size=3).filter(any)


@given(NUMBERS, st.lists(st.tuples(NUMBERS, st.lists(st.sampled_from("abc"), max_size=2)), max_size=12))
def test_whatever_the_vectors_are_the_nats_are_numbers(
    note: list[float], others: list[tuple[list[float], list[str]]]
) -> None:
    voted = vote(vector(*note), [vector(*one) for one, _ in others], [tags for _, tags in others])
    assert all(np.isfinite(list(voted.nats.values())))
    assert sorted(voted.order) == list(range(len(others)))
    assert set(voted.nats) == {tag for _, tags in others for tag in tags}
