"""Choosing by score with the real model: whole labels, calibrated, beside others, equal to a plain reference."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentd.engine import schedule, score
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.local import LocalModel
from agentd.engine.settings import KvCache
from agentd.errors import BadSchema
from agentd.model import Request
from tests.engine.conftest import ask, generate, generate_all
from tests.engine.test_constraint import closed

pytestmark = pytest.mark.usefixtures("whole_steps")
SYSTEM = "You sort the notes of a machine's keeper by what they are about, in one word each."
DISK = ["disk", "disk-full", "diskette", "display"]
NOTES = [
    "The disk is full again.",
    "A diskette was found in the drawer.",
    "The display stays dark.",
    "Rain, all day.",
]


@pytest.fixture(autouse=True)
def nothing_measured(model: LocalModel) -> None:
    """No test relies on what an earlier one measured."""
    model._baselines.clear()


def sort(content: str, shared: int = 1, **choices: list[Any]) -> Request:
    """A note whose properties are all decided by score, but the last, which is free."""
    properties = {name: {"enum": values} for name, values in choices.items()}
    return ask(
        content,
        SYSTEM,
        shared=shared,
        schema=closed(**properties, sure={"type": "boolean"}),
        decide=tuple(choices),
        empty=ask("", SYSTEM).messages,
        max_tokens=60,
    )


def tokens_fed(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each step from now on."""
    fed = list[int]()
    context = model._batch._context
    decode = context.decode

    def count(segments: Sequence[Segment]) -> NDArray[np.float32]:
        fed.append(sum(len(segment.tokens) for segment in segments))
        return decode(segments)

    monkeypatch.setattr(context, "decode", count)
    return fed


def reference(model: LocalModel, request: Request, name: str) -> dict[str, float]:
    """Probabilities of a property's choices, each label evaluated whole and alone in a cache of its own."""
    context = LlamaContext(model._model, Shape(512, 1, 512, KvCache(k="q8_0", v="q8_0"), threads=1), LogTail())
    decision = score.decision(request.schema or {}, name)

    def total(messages: Any, ending: str) -> float:
        tokens = model._model.tokenize
        prompt = model._tokens(model._template.render(messages)) + tokens(decision.stem, special=False)
        label = tokens(ending, special=False)
        context.clear()
        rows = context.decode([Segment(0, 0, prompt + label, len(label) + 1)])[:-1]
        shifted = rows - rows.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted.astype(np.float64)).sum(axis=1, keepdims=True))
        return float(sum(logs[index, token] for index, token in enumerate(label)))

    try:
        gained = [total(request.messages, ending) - total(request.empty, ending) for ending in decision.endings]
    finally:
        context.close()
    weights = np.exp(np.array(gained) - max(gained))
    return {
        str(choice): float(weight)
        for choice, weight in zip(decision.choices, weights / weights.sum(), strict=True)
    }


@pytest.mark.parametrize("shared", [0, 1])
def test_scores_are_those_of_whole_labels_each_evaluated_alone(model: LocalModel, shared: int) -> None:
    request = sort(NOTES[shared], shared, kind=DISK)
    generation = generate(model, request)
    expected = reference(model, request, "kind")
    assert generation.probabilities["kind"] == pytest.approx(expected, abs=1e-2)
    assert json.loads(generation.text)["kind"] == max(expected, key=expected.__getitem__)


def test_what_was_chosen_stands_in_the_answer_with_all_that_was_weighed(model: LocalModel) -> None:
    request = sort(
        NOTES[0], kind=DISK, level=[1, 2, 10], urgent=[True, False], who=["größer", 'a "b"', "c\\d", ""]
    )
    generation = generate(model, request)
    answer = json.loads(generation.text)
    assert list(answer) == ["kind", "level", "urgent", "who", "sure"]
    for name in request.decide:
        weighed = generation.probabilities[name]
        assert list(weighed) == [str(value) for value in request.schema["properties"][name]["enum"]]  # type: ignore[index]
        assert sum(weighed.values()) == pytest.approx(1, abs=1e-5)
        assert str(answer[name]) == max(weighed, key=weighed.__getitem__)


def test_an_optional_property_that_was_decided_is_not_left_out(model: LocalModel) -> None:
    request = sort(NOTES[0], kind=DISK)
    schema = (request.schema or {}) | {"required": []}
    assert "kind" in json.loads(generate(model, replace(request, schema=schema)).text)


def test_the_empty_input_changes_the_result_and_is_measured_once(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = sort(NOTES[0], kind=DISK)
    generate(model, replace(request, decide=(), empty=()))  # the prefix is kept from here on
    fed = tokens_fed(model, monkeypatch)
    first = generate(model, request)
    measuring, fed[:] = sum(fed), []
    assert generate(model, request) == replace(
        first, seconds=pytest.approx(first.seconds, abs=1e9), engine_seconds=pytest.approx(0, abs=1e9)
    )
    assert sum(fed) < measuring - 10
    other = replace(request, empty=ask("The display stays dark.", SYSTEM).messages)
    assert generate(model, other).probabilities != first.probabilities
    itself = replace(request, empty=request.messages)
    assert generate(model, itself).probabilities["kind"] == pytest.approx(dict.fromkeys(DISK, 0.25), abs=1e-2)


def test_many_choose_at_once_beside_ordinary_requests_and_nothing_rubs_off(model: LocalModel) -> None:
    choosing = [sort(note, kind=DISK, urgent=[True, False]) for note in NOTES]
    alone = [generate(model, request) for request in choosing]
    ordinary = [ask(f"Say {word}.", max_tokens=8) for word in ("one", "two", "three", "four")]
    mixed = [request for pair in zip(choosing, ordinary, strict=True) for request in pair]
    together = generate_all(model, mixed)
    for before, after in zip(alone, together[::2], strict=True):
        for name in ("kind", "urgent"):
            assert after.probabilities[name] == pytest.approx(before.probabilities[name], abs=0.1)
    assert all(one.tokens_out for one in together[1::2])


def test_branches_never_change_what_the_request_goes_on_with(model: LocalModel) -> None:
    request = sort(NOTES[2], kind=DISK)
    chosen = generate(model, request)
    kind = json.loads(chosen.text)["kind"]
    settled = ask(NOTES[2], SYSTEM, schema=score.decided(request.schema or {}, "kind", kind), max_tokens=60)
    assert generate(model, settled).text == chosen.text


def test_more_labels_than_there_are_sequences_for_them(model: LocalModel) -> None:
    labels = [f"{number:02}" for number in range(schedule.BRANCH_SEQUENCES * 2)]
    crowd = [sort(f"It stands on shelf {number}.", place=labels) for number in (7, 40)]
    alone = generate(model, crowd[0])
    assert len(alone.probabilities["place"]) == len(labels)
    assert sum(alone.probabilities["place"].values()) == pytest.approx(1, abs=1e-4)
    together = generate_all(model, crowd)
    assert together[0].probabilities["place"] == pytest.approx(alone.probabilities["place"], abs=0.05)


def test_as_many_as_there_is_room_for_choose_among_many_without_blocking_each_other(model: LocalModel) -> None:
    # With a stem each, too few sequences are left for all labels of one.
    labels = [f"{number:02}" for number in range(schedule.BRANCH_SEQUENCES - model.info.parallel + 2)]
    generate(model, sort("Box", place=labels))
    crowd = [sort(f"Box {number}", place=labels) for number in range(model.info.parallel)]
    for generation in generate_all(model, crowd):
        assert json.loads(generation.text)["place"] in labels


@pytest.mark.parametrize(
    "schema",
    [
        closed(kind={"type": "string"}),
        closed(other={"enum": ["a"]}),
        closed(kind={"enum": []}),
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"kind": True}},
        {"type": "array"},
    ],
)
def test_what_is_no_closed_choice_is_refused_by_name(model: LocalModel, schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema, match="`kind` cannot be decided by score"):
        generate(model, ask("Hello", schema=schema, decide=("kind",), empty=ask("").messages))


def test_a_long_empty_prompt_is_room_that_is_asked_for(model: LocalModel) -> None:
    request = replace(sort("x", kind=DISK), empty=ask("pear " * 300, SYSTEM).messages)
    model.add(0, request)
    (entry,) = model._batch._waiting.values()
    assert entry.cells > 300
    model.cancel(0)


def test_the_calibration_takes_away_what_a_label_is_liked_for_by_itself() -> None:
    scores, empty = [-1.0, -3.0, -5.0], [-0.5, -3.5, -5.0]
    weights = score.probabilities(scores, empty)
    assert sum(weights) == pytest.approx(1)
    assert np.argsort(weights).tolist() == [0, 2, 1]
    assert score.probabilities([-1e4, -2e4], [0.0, 0.0]) == [1.0, 0.0]
    assert score.probabilities(scores, scores) == pytest.approx([1 / 3] * 3)
