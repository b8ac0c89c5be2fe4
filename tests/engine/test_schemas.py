"""Two hundred schemas of every kind through one batch: each ends with a valid answer or a named refusal."""

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agentd.engine.local import LocalModel
from agentd.engine.settings import ModelSettings
from agentd.errors import BadSchema, EngineError
from agentd.model import Generation
from tests.engine.conftest import ask

pytestmark = pytest.mark.usefixtures("whole_steps")
Schema = dict[str, Any]
COUNT = 200
TOKENS = 100  # enough for most; what is cut there says so

WORDS = st.sampled_from(["a", "b", "tax", "tax-free", 'q"x', "ü", "\\", "1", "", " ", "\n", "🌱", "</s>", "null"])
NAMES = st.sampled_from(["x", "y z", 'k"', "ö", "a.b", "$ref", "type", "{", "🌱"])
PATTERNS = st.sampled_from(
    [
        "^[0-9]{4}-[0-9]{2}$",
        "^(yes|no)$",
        "[a-c]+",
        "^a?b*$",
        "^\\d{3}$",
        "^.{2,5}$",
        "^[^x]{1,4}$",
        "(?=a)",
        "(",
        "^$",
    ]
)
NUMBERS = st.one_of(st.integers(-1000, 1000), st.floats(-100, 100).map(lambda number: round(number, 2)))


def bounded(kind: str, low: str, high: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """A type with two bounds, each of which may be missing; now and then they cross."""
    return st.fixed_dictionaries({"type": st.just(kind)}, optional={low: values, high: values})


SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(WORDS, min_size=1, max_size=4, unique=True).map(lambda words: {"enum": words}),
    st.lists(st.one_of(st.integers(-9, 99), st.booleans(), st.none(), WORDS), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.one_of(WORDS, NUMBERS, st.booleans(), st.none(), st.just([1, {"a": "b"}])).map(
        lambda value: {"const": value}
    ),
    bounded("integer", "minimum", "maximum", st.integers(-1000, 1000)),
    bounded("number", "minimum", "maximum", NUMBERS),
    bounded("number", "exclusiveMinimum", "exclusiveMaximum", NUMBERS),
    bounded("string", "minLength", "maxLength", st.integers(0, 12)),
    PATTERNS.map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from(["date", "time", "email", "uuid"]).map(lambda form: {"type": "string", "format": form}),
)


def deeper(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Objects with optional keys, arrays with bounds, and unions."""
    objects = st.tuples(
        st.dictionaries(NAMES, inner, min_size=1, max_size=4), st.randoms(use_true_random=False)
    ).map(
        lambda made: {
            "type": "object",
            "properties": made[0],
            "required": [name for name in made[0] if made[1].random() < 0.7],
            "additionalProperties": False,
        }
    )
    arrays = st.tuples(inner, bounded("array", "minItems", "maxItems", st.integers(0, 4))).map(
        lambda made: made[1] | {"items": made[0]}
    )
    unions = st.tuples(st.sampled_from(["anyOf", "oneOf"]), st.lists(inner, min_size=1, max_size=3)).map(
        lambda made: {made[0]: made[1]}
    )
    return st.one_of(objects, arrays, unions)


SCHEMAS = st.recursive(SCALARS, deeper, max_leaves=6)


def sample(count: int) -> list[Schema]:
    """The same schemas on every run."""
    made = list[Schema]()

    @seed(20)
    @settings(
        max_examples=count * 2, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(SCHEMAS)
    def collect(schema: Schema) -> None:
        if schema not in made:
            made.append(schema)

    collect()
    random.Random(20).shuffle(made)
    return made[:count]


def run(model: LocalModel, schemas: list[Schema], tokens: int) -> list[Generation | EngineError]:
    """What became of each schema, all of them in one batch."""
    ended = dict[int, Generation | EngineError]()
    for number, schema in enumerate(schemas):
        try:
            model.add(number, ask("Any.", schema=schema, max_tokens=tokens, shared=2, seconds=120))
        except BadSchema as refusal:
            ended[number] = refusal
    while model.busy:
        for news in model.step():
            if news.error:
                assert isinstance(news.error, EngineError)
                ended[news.number] = news.error
            elif news.done:
                ended[news.number] = news.done
    return [ended[number] for number in range(len(schemas))]


@pytest.fixture(scope="module")
def model() -> LocalModel:
    """Many at a time: the steps are what costs."""
    return LocalModel(ModelSettings(context=512, parallel=32, threads=1))


def test_every_schema_ends_with_a_valid_answer_or_a_named_refusal(model: LocalModel) -> None:
    schemas = sample(COUNT)
    assert len(schemas) == COUNT
    outcomes = run(model, schemas, TOKENS)
    valid = cut = refused = 0
    for schema, outcome in zip(schemas, outcomes, strict=True):
        if isinstance(outcome, BadSchema):
            refused += 1
            continue
        assert isinstance(outcome, Generation), (schema, outcome)
        if outcome.stop == "length":
            cut += 1
            assert outcome.tokens_out == TOKENS
            continue
        valid += 1
        jsonschema.validate(json.loads(outcome.text), schema)
    print(f"{valid} valid, {cut} cut at {TOKENS} tokens, {refused} refused")
    assert valid > 0.7 * COUNT


def nested(depth: int) -> Schema:
    schema: Schema = {"type": "boolean"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}
    return schema


IMMODERATE: dict[str, Schema] = {
    "many items": {"type": "array", "items": {"type": "string"}, "maxItems": 1_000_000},
    "many needed items": {"type": "array", "items": {"type": "integer"}, "minItems": 1_000_000},
    "long text": {"type": "string", "maxLength": 1_000_000_000},
    "huge pattern": {"type": "string", "pattern": "(a{1000}){1000}"},
    "ambiguous pattern": {"type": "string", "pattern": "^(a|aa)+$"},
    "many words": {"enum": [f"word-{number}" for number in range(10_000)]},
    "a long word": {"enum": ["long " * 20_000]},
    "a long constant": {"const": "x" * 20_000},
    "many properties": {
        "type": "object",
        "properties": {f"property {number}": {"type": "boolean"} for number in range(2000)},
        "required": [f"property {number}" for number in range(2000)],
    },
    "within itself": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}},
    "many at once": {"allOf": [{"type": "string", "maxLength": 5}] * 1000},
    "many choices": {"anyOf": [{"type": "array", "items": {"anyOf": [nested(5)] * 50}}] * 50},
    **{f"{depth} deep": nested(depth) for depth in (60, 300, 480, 5000)},
}


@pytest.mark.parametrize("name", IMMODERATE)
def test_an_immoderate_schema_is_refused_by_name_or_followed_within_its_bounds(
    model: LocalModel, name: str
) -> None:
    schema = IMMODERATE[name]
    (outcome,) = run(model, [schema], 24)
    if isinstance(outcome, Generation):
        assert outcome.tokens_out <= 24
        if outcome.stop == "end":
            jsonschema.validate(json.loads(outcome.text), schema)
    else:
        assert isinstance(outcome, BadSchema)
