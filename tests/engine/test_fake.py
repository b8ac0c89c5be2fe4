"""The scripted model: valid placeholders for any schema, labelled as fake."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from agentd.engine.fake import FakeModel, placeholder
from agentd.engine.settings import ModelSettings
from agentd.errors import BadSchema, Cancelled, TooLong
from agentd.model import WORDS_OF, Message, Request
from agentd.records import Priority
from tests.engine.test_constraint import SCHEMAS

MODEL = FakeModel(ModelSettings(path="fake", context=100))


def request(content: str = "Hello", **bounds: Any) -> Request:
    return Request((Message("user", content),), **bounds)


@given(SCHEMAS)
@settings(max_examples=60)
def test_the_placeholder_of_any_schema_validates(schema: dict[str, Any]) -> None:
    jsonschema.validate(placeholder(schema), schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 4}, 4),
        ({WORDS_OF: "alpha beta"}, "alpha"),
        ({WORDS_OF: "  "}, ""),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "integer", "minimum": 1.5}, 2),
        ({"type": "number", "maximum": -3}, -3),
        ({"type": "string", "pattern": "^[a-z]+$"}, "fake"),
    ],
)
def test_a_placeholder_is_the_plainest_value_that_fits(schema: dict[str, Any], value: Any) -> None:
    assert placeholder(schema) == value


@pytest.mark.parametrize(
    "schema", [{"type": "string", "pattern": "^[0-9]{4}$"}, {"type": "nonsense"}, {"allOf": []}]
)
def test_a_schema_without_a_placeholder_is_refused_when_it_is_checked(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        MODEL.check_schema(schema)


def test_a_result_of_the_fake_model_says_so() -> None:
    assert MODEL.info.fake
    assert MODEL.info.label == "fake"


def test_the_fake_model_has_a_context_too() -> None:
    with pytest.raises(TooLong, match="needs 103 tokens, room for 50"):
        MODEL.add(1, request("x" * 404, max_tokens=50))
    assert not MODEL.busy


def test_requests_are_answered_by_priority_and_a_cancelled_one_never() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    MODEL.add(1, request(schema=schema, max_tokens=10, priority=Priority.BACKFILL))
    MODEL.add(2, request(schema=schema, max_tokens=10, priority=Priority.INTERACTIVE))
    MODEL.add(3, request(max_tokens=10))
    assert isinstance(MODEL.cancel(3)[0].error, Cancelled)
    (first,) = MODEL.step()
    (second,) = MODEL.step()
    assert (first.number, second.number) == (2, 1)
    assert first.done is not None
    assert first.text == first.done.text
    assert json.loads(first.done.text) == {"ok": True}
    assert not MODEL.busy


def test_no_choice_of_the_fake_model_weighs_more_than_another() -> None:
    schema = {"type": "object", "properties": {"way": {"enum": ["up", "down"]}}}
    MODEL.add(1, request(schema=schema, max_tokens=10, decide=("way",)))
    (news,) = MODEL.step()
    assert news.done is not None
    assert news.done.probabilities == {"way": {"up": 0.5, "down": 0.5}}
