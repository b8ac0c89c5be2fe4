from typing import Any

import pytest

from agentd.engine.quality import MOST_LABELS, TIE, compare_choices, only_choices, why_different, why_worse
from agentd.engine.score import decision
from agentd.model import Message, Request

MESSAGES = (Message("system", "Sort it."), Message("user", "A pear tree."))


def request(**properties: Any) -> Request:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Request(MESSAGES, schema, max_tokens=64, shared=1)


def test_what_is_closed_is_asked_for_alone() -> None:
    whole = request(
        title={"type": "string"},
        kind={"enum": ["note", "list"]},
        tags={"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 2},
        sure={"enum": [True]},
        where={"enum": [str(number) for number in range(MOST_LABELS + 1)]},
    )
    asked = only_choices(whole)
    assert asked is not None
    assert asked.schema is not None
    assert asked.schema["properties"] == {"kind": {"enum": ["note", "list"]}, "tags": {"enum": ["a", "b", "c"]}}
    assert asked.decide == ("kind", "tags")
    assert [decision(asked.schema, name).name for name in asked.decide] == ["kind", "tags"]
    assert (asked.messages, asked.max_tokens, asked.shared) == (MESSAGES, 64, 1)
    assert asked.empty == (MESSAGES[0], Message("user", ""))


@pytest.mark.parametrize("schema", [None, {}, {"enum": [1, 2]}, {"type": "object"}])
def test_what_has_no_choices_is_not_asked(schema: dict[str, Any] | None) -> None:
    assert only_choices(Request(MESSAGES, schema)) is None
    assert only_choices(request(title={"type": "string"})) is None


def compare(reference: dict[str, float], other: dict[str, float]) -> tuple[int, int]:
    return compare_choices({(0, "kind"): reference}, {(0, "kind"): other})


def test_a_choice_counts_unless_the_reference_clearly_prefers_another() -> None:
    assert compare({"a": 0.9, "b": 0.1}, {"a": 0.6, "b": 0.4}) == (1, 1)
    assert compare({"a": 0.9, "b": 0.1}, {"a": 0.4, "b": 0.6}) == (0, 1)
    assert compare({"a": 0.52, "b": 0.48}, {"a": 0.1, "b": 0.9}) == (1, 1), "a tie, for the reference"
    assert compare({"a": 1.0, "b": 0.0}, {"a": 0.4, "b": 0.6}) == (0, 1)
    assert TIE < 1


def test_choices_are_compared_place_by_place() -> None:
    made = {"a": 0.9, "b": 0.1}
    turned = {"a": 0.1, "b": 0.9}
    reference = {(0, "kind"): made, (0, "tag"): made, (1, "kind"): turned}
    assert compare_choices(reference, {(0, "kind"): made, (0, "tag"): turned, (1, "kind"): turned}) == (2, 3)
    assert compare_choices(reference, {(0, "kind"): made}) == (1, 3), "what failed is not equal"
    assert compare_choices({}, reference) == (0, 0)


def test_the_bounds() -> None:
    assert why_worse(1.0) == why_worse(1.01) == why_worse(0.7) == ""
    assert why_worse(1.0101) == "perplexity +1.0 %"
    assert why_worse(1.2361) == "perplexity +23.6 %"
    assert why_different(19, 20) == why_different(0, 0) == ""
    assert why_different(18, 20) == "only 18 of 20 choices equal"
