"""One run of one task on one document: prompt, fit, answer, validation. A result or a named error.

What a model answers is never trusted: it was held to the schema while it was generated, and is validated here
all the same. Queues, files and processes are not known here.
"""

import hashlib
import json
from typing import Any

import jsonschema

from agentd.errors import InputError, InvalidOutput, TooLong
from agentd.model import Generation, Model, Request
from agentd.records import Coverage, Document, Priority, Result
from agentd.tasks.bind import bind_schema
from agentd.tasks.definition import Task
from agentd.tasks.prompt import build_messages

MOST_CHARACTERS = 32  # of a text to a token, on average: eight times what tokenizers reach on prose
# What choices by score are compared with, so that a choice that the model likes whatever it reads gains nothing.
_EMPTY = Document("", hashlib.sha256(b"").hexdigest(), "")


async def run_task(
    task: Task,
    document: Document,
    model: Model,
    priority: Priority = Priority.TRIGGERED,
) -> Result:
    """What the model makes of the document.

    Raises `InputError` for a kind of document that the task does not read, `TooLong` where the whole document
    does not fit (nothing is ever cut), `InvalidOutput` for an answer that is empty, off the schema or stopped by
    its bound, and `EngineError` where the engine fails.
    """
    if task.reads and document.kind not in task.reads:
        raise InputError(
            f"{task.name} reads {' and '.join(task.reads)}, not {document.kind}",
            hint=f"agentd tasks show {task.name}",
        )
    room = model.info.context - task.max_tokens
    least = len(document.text) // MOST_CHARACTERS
    if least > room:
        # Not worth a prompt of megabytes: no tokenizer makes so few tokens of it.
        raise _too_long(task, f"more than {least:,}", room, model.info.context)
    schema = bind_schema(task.schema, document)
    request = build_request(task, document, schema, priority)
    rendered = await model.render(request.messages, priority)
    if rendered.tokens > room:
        raise _too_long(task, f"{rendered.tokens:,}", room, model.info.context)
    generation = await model.generate(request)
    info = model.info
    return Result(
        output=parse_output(task, generation, schema),
        coverage=Coverage(document.length - len(document.unread), document.length, document.unit),
        model=info.label,
        kv_cache=info.kv_cache,
        fake=info.fake,
        tokens_in=generation.tokens_in,
        tokens_cached=generation.tokens_cached,
        tokens_out=generation.tokens_out,
        seconds=generation.seconds,
        engine_seconds=generation.engine_seconds,
        probabilities=generation.probabilities,
    )


def build_request(task: Task, document: Document, schema: dict[str, Any], priority: Priority) -> Request:
    """What a model is asked, to do a task on a document for which its `schema` is bound; it may not fit."""
    return Request(
        build_messages(task, document),
        schema,
        task.max_tokens,
        task.seconds,
        priority,
        shared=1,
        decide=task.decide,
        empty=build_messages(task, _EMPTY) if task.decide else (),
    )


def _too_long(task: Task, needed: str, room: int, context: int) -> TooLong:
    return TooLong(
        f"needs {needed} tokens, room for {max(room, 0):,} "
        f"(context {context:,}, answer up to {task.max_tokens:,})",
        hint=f"split the document, or raise models.{task.model}.context in the config",
    )


def parse_output(task: Task, generation: Generation, schema: dict[str, Any]) -> dict[str, Any]:
    """The answer as an object of the (bound) schema; raises `InvalidOutput` with what is wrong with it."""
    hint = f"agentd tasks show {task.name}"
    if generation.stop == "length":
        raise InvalidOutput(
            f"the answer was cut at its bound of {task.max_tokens:,} tokens: raise max_tokens", hint=hint
        )
    output: dict[str, Any] = parse_json(generation.text, schema, hint)
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
        output = _each_choice_once(output, schema)
        # `jsonschema.validate` would check the schema itself too, each time: that costs ten times as much.
        jsonschema.Draft202012Validator(schema).validate(output)
    except ValueError as broken:
        raise InvalidOutput(f"the answer is not JSON: {broken}", hint=hint) from broken
    except jsonschema.ValidationError as broken:
        place = ".".join(str(part) for part in broken.absolute_path) or "answer"
        raise InvalidOutput(
            f"the answer breaks its schema at {place}: {broken.message[:200]}", hint=hint
        ) from broken
    return output


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
