"""The scripted model: valid placeholders for any schema, labelled as fake."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from agentd.engine.fake import FakeModel, placeholder
from agentd.engine.settings import ModelSettings
from agentd.errors import BadSchema, TooLong
from agentd.model import WORDS_OF, Message, Request
from tests.engine.test_constraint import SCHEMAS

MODEL = FakeModel(ModelSettings(path="fake", context=100))


def request(content: str = "Hello", **bounds: Any) -> Request:
    return Request((Message("user", content),), **bounds)


@given(SCHEMAS)
@settings(max_examples=60, deadline=None)
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
        list(MODEL.generate(request("x" * 404, max_tokens=50)))


def test_the_text_of_the_steps_is_the_answer() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    *steps, last = MODEL.generate(request(schema=schema, max_tokens=10))
    assert last.generation is not None
    assert "".join(step.text for step in steps) == last.generation.text
    assert json.loads(last.generation.text) == {"ok": True}
