"""Schemas become grammars, or a named error; words are bound to a text."""

import json
from typing import Any

import jsonschema
import llguidance
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher

from agentd.engine.constraint import Compiler, compile_schema
from agentd.errors import BadSchema
from agentd.model import IN_ORDER, WORDS_OF

TOKENIZER = llguidance.LLTokenizer("byte")


def allows(schema: dict[str, Any], text: str) -> bool:
    """Whether `text`, whole, is an answer under the schema."""
    matcher = LLMatcher(TOKENIZER, compile_schema(schema))
    tokens = TOKENIZER.tokenize_str(text)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def closed(optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


TAGS = closed(tags={"type": "array", "items": {"enum": ["sql", "home"]}, "minItems": 1, "maxItems": 2})
NOTE = closed(optional=("note",), ok={"type": "boolean"}, note={"type": "string", "minLength": 1, "maxLength": 3})


@pytest.mark.parametrize(
    ("schema", "text", "allowed"),
    [
        (TAGS, '{"tags":["sql"]}', True),
        (TAGS, '{"tags":["sql","home"]}', True),
        (TAGS, '{"tags": ["sql"]}', False),
        (TAGS, '{"tags":[]}', False),
        (TAGS, '{"tags":["sql","sql","sql"]}', False),
        (TAGS, '{"tags":["python"]}', False),
        (TAGS, '{"tags":["sql"],"more":1}', False),
        (NOTE, '{"ok":true}', True),
        (NOTE, '{"ok":true,"note":"abc"}', True),
        (NOTE, '{"ok":true,"note":"abcd"}', False),
        (NOTE, '{"ok":true,"note":""}', False),
        (NOTE, '{"note":"abc"}', False),
        (closed(n={"type": "integer", "minimum": 1, "maximum": 12}), '{"n":12}', True),
        (closed(n={"type": "integer", "minimum": 1, "maximum": 12}), '{"n":13}', False),
        (closed(d={"type": "string", "pattern": "^[0-9]{4}$"}), '{"d":"2026"}', True),
        (closed(d={"type": "string", "pattern": "^[0-9]{4}$"}), '{"d":"26"}', False),
    ],
)
def test_only_compact_answers_within_the_schema_are_allowed(
    schema: dict[str, Any], text: str, allowed: bool
) -> None:
    assert allows(schema, text) is allowed


@pytest.mark.parametrize(
    ("text", "quote", "allowed"),
    [
        ("Prune the pear in March.", "Prune the pear", True),
        ("Prune the pear in March.", "pear in March.", True),
        ("Prune the pear in March.", "Prune the plum", False),
        ("Prune the pear in March.", "March pear", False),
        ('She said "no" twice', 'said "no"', True),
        ("Look in C:\\new\\files", "C:\\new", True),
        ("Größe über 5 µm", "über 5 µm", True),
        ("Größe über 5 µm", "uber", False),
        ("first line\nsecond line", "line second", True),
        ("tab\there \x01 and \x08 there", "tab here and there", False),
        ("emoji 🌱 sprout", "🌱 sprout", True),
    ],
)
def test_a_quote_holds_words_of_its_text_in_their_order(text: str, quote: str, allowed: bool) -> None:
    schema = closed(quote={WORDS_OF: text})
    assert allows(schema, json.dumps({"quote": quote}, ensure_ascii=False, separators=(",", ":"))) is allowed


@given(st.text(alphabet="ab\"\\/\n\t\x01\x7fé🌱{}.'n", max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_whatever_the_text_every_answer_bound_to_it_is_json(text: str, random: Any) -> None:
    matcher = LLMatcher(TOKENIZER, compile_schema(closed(quote={WORDS_OF: text})))
    written = bytearray()
    while not matcher.is_stopped() and len(written) < 500:
        mask = matcher.compute_bitmask()
        tokens = [token for token in range(256) if mask[token // 8] >> (token % 8) & 1]
        if not tokens:
            break
        token = random.choice(tokens)
        matcher.consume_token(token)
        written.append(token)
    folded = " ".join("".join(letter if letter >= " " else " " for letter in text).split())
    quote = json.loads(written.decode())["quote"]
    assert " ".join(quote.split()) in folded


def test_bound_words_stand_in_choices_lists_and_objects_between_free_parts() -> None:
    schema = {
        "anyOf": [
            closed(
                found={"const": True},
                quotes={
                    "type": "array",
                    "items": {"anyOf": [closed(of={"const": 1}, quote={WORDS_OF: "alpha beta"})]},
                    "minItems": 1,
                    "maxItems": 2,
                },
                answer={"type": "string", "maxLength": 5},
            ),
            closed(found={"const": False}),
        ]
    }
    one, two = '{"of":1,"quote":"alpha"}', '{"of":1,"quote":"alpha beta"}'
    assert allows(schema, '{"found":false}')
    assert allows(schema, f'{{"found":true,"quotes":[{one}],"answer":"yes"}}')
    assert allows(schema, f'{{"found":true,"quotes":[{one},{two}],"answer":"yes"}}')
    assert not allows(schema, '{"found":true,"quotes":[],"answer":"yes"}')
    assert not allows(schema, f'{{"found":true,"quotes":[{one},{one},{one}],"answer":"yes"}}')
    assert not allows(schema, f'{{"found":true,"quotes":[{one}],"answer":"too long"}}')


def in_order(words: list[str], count: int) -> dict[str, Any]:
    return {"type": "array", "items": {"enum": words}, "minItems": count, "maxItems": count, IN_ORDER: True}


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ('["a","b"]', True),
        ('["a","c \\"q\\""]', True),
        ('["b","c \\"q\\""]', True),
        ('["b","a"]', False),
        ('["a","a"]', False),
        ('["a"]', False),
        ('["a","b","c \\"q\\""]', False),
    ],
)
def test_a_list_in_order_takes_each_choice_at_most_once(text: str, allowed: bool) -> None:
    assert allows(in_order(["a", "b", 'c "q"'], 2), text) is allowed


def test_a_list_in_order_may_choose_from_a_long_document() -> None:
    schema = in_order([f"This is sentence {number} of a long report." for number in range(400)], 3)
    assert not Compiler(TOKENIZER)(schema).complete


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        in_order(["a"], 2),
        {"enum": []},
        {"type": "string", "pattern": "("},
        {"type": "array", "items": {"type": "integer"}, "minItems": 5, "maxItems": 2},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"not": {}},
        {"$ref": "#/nowhere"},
        {"type": "array", "items": {WORDS_OF: "a b"}},
        {"type": "array", "items": {WORDS_OF: "a b"}, "minItems": 3, "maxItems": 2},
        {"allOf": [{WORDS_OF: "a"}]},
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_by_name(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        compile_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "maxItems": 1_000_000},
        {"type": "array", "items": {"type": "string"}, "minItems": 1_000_000},
        {"type": "string", "maxLength": 1_000_000_000},
        {"type": "string", "pattern": "(a{1000}){1000}"},
        {"enum": [f"word-{number}" for number in range(20_000)]},
        json.loads('{"type":"array","maxItems":2,"items":' * 60 + '{"type":"boolean"}' + "}" * 60),
    ],
    ids=["many items", "many needed items", "long text", "huge pattern", "many words", "deep"],
)
def test_an_immoderate_schema_is_followed_or_refused_and_never_a_crash(schema: dict[str, Any]) -> None:
    try:
        Compiler(TOKENIZER)(schema).forced()
    except BadSchema:
        return


SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.lists(st.sampled_from(["a", "b", 'q"x', "ü", "1"]), min_size=1, max_size=3, unique=True).map(
        lambda words: {"enum": words}
    ),
    st.tuples(st.integers(-9, 9), st.integers(0, 9)).map(
        lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[0] + pair[1]}
    ),
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
        lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[0] + pair[1]}
    ),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
            lambda of: {"type": "array", "items": of[0], "minItems": of[1], "maxItems": of[1] + of[2]}
        ),
        st.dictionaries(st.sampled_from(["x", "y z", 'k"', "ö"]), inner, min_size=1, max_size=3).map(
            lambda properties: closed(**properties)
        ),
    ),
    max_leaves=5,
)


@given(SCHEMAS)
@settings(max_examples=60)
def test_every_finished_answer_validates(schema: dict[str, Any]) -> None:
    matcher = LLMatcher(TOKENIZER, compile_schema(schema))
    written = bytearray()
    for _ in range(400):
        if matcher.is_stopped():
            break
        # A closing sign first, so that it comes to an end.
        mask = matcher.compute_bitmask()
        allowed = [token for token in (*b'"]}', *range(256)) if mask[token // 8] >> (token % 8) & 1]
        if not allowed:
            break
        matcher.consume_token(allowed[0])
        written.append(allowed[0])
    jsonschema.validate(json.loads(written.decode("utf-8", "replace")), schema)


def test_schemas_that_come_again_are_kept_and_those_of_single_documents_pass_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []

    def count(schema: dict[str, Any]) -> str:
        compiled.append(str(schema))
        return compile_schema(schema)

    monkeypatch.setattr("agentd.engine.constraint.compile_schema", count)
    monkeypatch.setattr("agentd.engine.constraint.MOST_CHARACTERS", 2000)
    compiler = Compiler(TOKENIZER)
    for number in range(20):
        compiler(TAGS)
        compiler({"enum": [f"A sentence of document {number}. " * 20]})
    assert compiled.count(str(TAGS)) == 1
    assert len(compiled) == 21
    assert 1 < len(compiler._fresh) < 5
    compiler({"enum": ["long " * 1000]})
    assert len(compiler._fresh) == 1
