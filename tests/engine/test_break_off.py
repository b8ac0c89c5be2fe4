"""A long step that is broken off for somebody in a hurry: nothing is lost, and nothing is left behind."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from agentd.engine.llama.context import BrokenOff, Segment
from agentd.engine.local import LocalModel
from agentd.records import Priority
from tests.engine.conftest import ask, generate, generate_all

import llama_cpp  # isort: skip - after the engine, which quietens it

TOKENS = list(range(1000, 1200))


def test_an_evaluation_that_is_broken_off_leaves_no_trace(model: LocalModel) -> None:
    context = model._batch._context

    def begin() -> None:
        context.drop(0)
        context.decode([Segment(0, 0, TOKENS[:100], 0)])

    def go_on() -> NDArray[np.float32]:
        return context.decode([Segment(0, 100, TOKENS[100:], 1)]).copy()

    begin()
    expected = go_on()
    begin()
    asked = itertools.count()
    context.break_off_when(lambda: next(asked) > 300)  # in the middle of its layers
    with pytest.raises(BrokenOff):
        go_on()
    context.break_off_when(None)
    assert llama_cpp.llama_memory_seq_pos_max(context._memory, 0) == 99
    assert np.array_equal(go_on(), expected)
    context.drop(0)


def test_those_whose_steps_are_broken_off_answer_as_ever(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(f"Tell me about river {number}. " + "pear " * 200, max_tokens=8) for number in range(3)]
    alone = [one.text for one in generate_all(model, requests)]
    broken = set[int]()

    def hurry() -> bool:
        """Somebody comes in every second step, ten times."""
        step = model._batch._steps
        if step % 2 and len(broken) < 10:
            broken.add(step)
        return step in broken

    monkeypatch.setattr(model._batch, "_hurry", hurry)
    assert [one.text for one in generate_all(model, requests)] == alone
    assert len(broken) == 10


def test_a_step_that_a_person_waits_for_is_not_broken_off(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._batch, "_hurry", lambda: True)
    assert generate(model, ask("Hello", max_tokens=3, priority=Priority.INTERACTIVE)).tokens_out == 3
    model.add(1, ask("Hello", max_tokens=3))
    assert [news.started for news in model.step()] == [True]
    assert not any(model.step() for _ in range(5))
    model.cancel(1)
