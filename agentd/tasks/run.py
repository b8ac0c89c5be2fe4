"""One run of one task on one document: prompt, fit, answer, evidence, places. A result or a named error.

A document that is longer than the model's room is read in parts, see `long`. Queues, files and processes are not
known here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentd.errors import InputError
from agentd.model import Generation, Model, ModelInfo
from agentd.records import Coverage, Document, Priority, Result, is_bundle
from agentd.tasks.asking import build_request, parse_output
from agentd.tasks.bind import bind_schema
from agentd.tasks.complete import complete, locate
from agentd.tasks.definition import Task
from agentd.tasks.evidence import EMPTY_VAULT, Vault, choose, explain, propose, read_note, weigh_tags
from agentd.tasks.long import Failure, LongRun, Progress, Unkept
from agentd.tasks.schema import choices
from agentd.tasks.words import words_of_tag

MOST_CHARACTERS = 32  # of a text to a token, on average: eight times what tokenizers reach on prose


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the model said, of the whole document or of its parts."""

    output: dict[str, Any]
    probabilities: dict[str, dict[str, float]]
    coverage: Coverage
    generations: tuple[Generation, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What was chosen by evidence for one property."""

    name: str
    value: Any
    why: list[dict[str, Any]]
    proposed: list[str]


async def run_task(
    task: Task,
    document: Document,
    model: Model,
    priority: Priority = Priority.TRIGGERED,
    *,
    progress: Progress | None = None,
    vault: Vault | None = None,
) -> Result:
    """What the model makes of the document.

    Raises `InputError` for a kind of document that the task does not read, `TooLong` where there is no room for
    any part of it, `InvalidOutput` for an answer that is empty, off the schema or stopped by its bound, and
    `EngineError` where the engine fails.
    """
    # Of a bundle, each file was looked at by itself.
    if task.reads and document.kind not in task.reads and not is_bundle(document.source):
        raise InputError(
            f"{task.name} reads {' and '.join(task.reads)}, not {document.kind}",
            hint=f"agentd tasks show {task.name}",
        )
    whole = await _ask_whole(task, document, model, priority)
    answer = whole or await _ask_parts(task, document, model, progress or Unkept())
    chosen = [await _choose(task, name, document, answer, vault) for name in task.evidence]
    said = complete(document, answer.output, task.schema)
    output = said | {choice.name: choice.value for choice in chosen}
    return _result(task, model.info, answer, output, chosen, locate(document, output, task.schema))


async def _ask_whole(task: Task, document: Document, model: Model, priority: Priority) -> _Answer | None:
    """The answer to one request about all of it; None where that does not fit."""
    room = model.info.context - task.max_tokens
    if len(document.text) // MOST_CHARACTERS > room:
        return None  # not worth a prompt of megabytes: no tokenizer makes so few tokens of it
    schema = bind_schema(task.asked, document)
    request = build_request(task, document, schema, priority)
    if (await model.render(request.messages, priority)).tokens > room:
        return None
    generation = await model.generate(request)
    coverage = Coverage(document.length - len(document.unread), document.length, document.unit, 0, document.unread)
    output = parse_output(task, generation, schema)
    return _Answer(output, generation.probabilities, coverage, (generation,))


async def _ask_parts(task: Task, document: Document, model: Model, progress: Progress) -> _Answer:
    done = await LongRun(task, document, model, progress).run()
    lost = [_told(document, failure) for failure in done.failures]
    # A unit may be lost in several parts; one that was seen in part was not seen.
    missed = {unit for one in done.failures for unit in document.units_on(one.part.line, one.part.last_line)}
    seen = max(document.length - len(document.unread) - len(missed), 0)
    coverage = Coverage(seen, document.length, document.unit, done.tokens, (*document.unread, *lost))
    return _Answer(done.output, done.probabilities, coverage, done.generations)


async def _choose(task: Task, name: str, document: Document, answer: _Answer, vault: Vault | None) -> _Choice:
    """What is chosen by evidence for one property."""
    kind = task.schema["properties"][name]
    several = "items" in kind
    tags = {str(tag): task.hints.get(str(tag), "") for tag in choices(kind)}
    words = [word for tag, meaning in tags.items() for word in words_of_tag(tag, meaning)]
    view = await vault.look(document, list(tags), words) if vault else EMPTY_VAULT
    weighed = weigh_tags(tags, read_note(document), view, answer.probabilities.get(name, {}))
    least, most = (kind.get("minItems", 0), kind["maxItems"]) if several else (1, 1)
    fitting = choose(weighed, least, most)
    value = [one.tag for one in fitting] if several else fitting[0].tag
    return _Choice(name, value, explain(weighed, fitting, view), propose(view, fitting, tags))


def _result(
    task: Task,
    info: ModelInfo,
    answer: _Answer,
    output: dict[str, Any],
    chosen: Sequence[_Choice],
    places: dict[str, str],
) -> Result:
    all_of = answer.generations
    return Result(
        output=output,
        coverage=answer.coverage,
        model=info.label,
        kv_cache=info.kv_cache,
        fake=info.fake,
        tokens_in=sum(one.tokens_in for one in all_of),
        tokens_cached=sum(one.tokens_cached for one in all_of),
        tokens_out=sum(one.tokens_out for one in all_of),
        seconds=math.fsum(one.seconds for one in all_of),
        engine_seconds=math.fsum(one.engine_seconds for one in all_of),
        probabilities=answer.probabilities,
        why={choice.name: choice.why for choice in chosen},
        proposals={task.vocabularies[choice.name]: choice.proposed for choice in chosen},
        places=places,
    )


def _told(document: Document, failure: Failure) -> str:
    begin, end = failure.part.line, failure.part.last_line
    first, last = document.where(begin), document.where(end)
    where = first if first == last else f"{first} to {last}"
    lines = document.text.split("\n")
    around = (range(begin - 1, 0, -1), range(end + 1, len(lines) + 1))
    nearest = [next((line for line in there if lines[line - 1].strip()), None) for there in around]
    if first == last and any(document.where(line) == first for line in nearest if line):
        where = f"part of {where}"  # such as a page, of which other lines are in other parts
    return f"{where}: {failure.error.code}: {failure.error.message}"
