"""One request of a task to a model, and its answer: checked, or refused by name.

What a model answers is never trusted: it was held to the schema while it was generated, and is validated here
all the same.
"""

import hashlib
import json
from typing import Any

import jsonschema

from agentd.errors import InvalidOutput
from agentd.inert import inert
from agentd.model import Generation, Message, Request
from agentd.records import Document, Priority
from agentd.tasks.definition import Task
from agentd.tasks.prompt import build_messages

# What choices by score are compared with, so that a choice that the model likes whatever it reads gains nothing.
_EMPTY = Document("", hashlib.sha256(b"").hexdigest(), "")


def build_request(task: Task, document: Document, schema: dict[str, Any], priority: Priority) -> Request:
    """What a model is asked, to do a task on a document for which its `schema` is bound; it may not fit."""
    return request_of(task, build_messages(task, document), schema, priority)


def request_of(task: Task, messages: tuple[Message, ...], schema: dict[str, Any], priority: Priority) -> Request:
    """A request with the bounds of a task; what it decides by score is compared with an empty document."""
    decide = tuple(name for name in (*task.decide, *task.evidence) if name in schema["properties"])
    return Request(
        messages,
        schema,
        task.max_tokens,
        task.seconds,
        priority,
        shared=1,
        decide=decide,
        empty=(messages[0], *build_messages(task, _EMPTY)[1:]) if decide else (),
    )


def parse_output(task: Task, generation: Generation, schema: dict[str, Any]) -> dict[str, Any]:
    """The answer as an object of the (bound) schema; raises `InvalidOutput` with what is wrong with it."""
    hint = f"agentd tasks show {task.name}"
    if generation.stop == "length":
        raise InvalidOutput(
            f"the answer was cut at its bound of {task.max_tokens:,} tokens: raise max_tokens", hint=hint
        )
    said = parse_json(generation.text, schema, hint)
    output: dict[str, Any] = _inert(said, schema)
    if output != said:
        _check(output, schema, hint)  # little may be left of it
    blank = [name for name in schema["required"] if _is_blank(output[name])]
    if blank:
        raise InvalidOutput(f"the answer has nothing in {', '.join(blank)}", hint=hint)
    return output


def parse_json(text: str, schema: dict[str, Any], hint: str) -> Any:
    """A model's answer, valid by its schema; raises `InvalidOutput`. A choice that is listed twice counts once."""
    try:
        output = json.loads(text)
        # Half of a surrogate pair is JSON, and no text that can be stored.
        json.dumps(output, ensure_ascii=False).encode()
    except ValueError as broken:
        raise InvalidOutput(f"the answer is not JSON: {broken}", hint=hint) from broken
    output = _each_choice_once(output, schema)
    _check(output, schema, hint)
    return output


def _check(output: Any, schema: dict[str, Any], hint: str) -> None:
    """Raise `InvalidOutput` where it is not as its schema says."""
    try:
        # `jsonschema.validate` would check the schema itself too, each time: that costs ten times as much.
        jsonschema.Draft202012Validator(schema).validate(output)
    except jsonschema.ValidationError as broken:
        place = ".".join(str(part) for part in broken.absolute_path) or "answer"
        raise InvalidOutput(
            f"the answer breaks its schema at {place}: {broken.message[:200]}", hint=hint
        ) from broken


def _inert(value: Any, schema: dict[str, Any]) -> Any:
    """An answer whose free texts link to nothing; where a task gives a `pattern`, that alone says what fits."""
    if isinstance(value, dict) and "properties" in schema:
        return {name: _inert(inner, schema["properties"].get(name, {})) for name, inner in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [_inert(item, schema["items"]) for item in value]
    if isinstance(value, str) and schema.get("type") == "string" and "pattern" not in schema:
        return inert(value)
    return value


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    # An empty list can be an answer (no tag fits); a list of nothing but blanks is none.
    return isinstance(value, list) and bool(value) and all(_is_blank(item) for item in value)


def _each_choice_once(value: Any, schema: dict[str, Any]) -> Any:
    """A list of choices without repeats, in order: a small model likes to say its best tag twice."""
    if isinstance(value, dict) and "properties" in schema:
        kinds = schema["properties"]
        return {name: _each_choice_once(inner, kinds.get(name, {})) for name, inner in value.items()}
    if isinstance(value, list) and "enum" in schema.get("items", {}):
        return [choice for index, choice in enumerate(value) if choice not in value[:index]]
    return value
