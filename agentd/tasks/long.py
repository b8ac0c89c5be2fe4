"""Long documents: read part by part, then put together in as many levels as are needed. Nothing is cut.

Every part is a request of its own in the engine's batch, of the lowest priority. A part that failed is tried once
more alone; if it stays failed, the coverage says which. What is done is handed to `Progress`, so that a job that
is interrupted goes on where it was.
"""

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from agentd.errors import AgentdError, EngineTimeout, InvalidOutput, TooLong
from agentd.model import Generation, Message, Model, Request
from agentd.records import Document, Priority
from agentd.tasks.asking import parse_output, request_of
from agentd.tasks.bind import Quotes, bind_quotes, bind_schema
from agentd.tasks.complete import complete
from agentd.tasks.definition import Task
from agentd.tasks.merge import Output, candidates, merge, merge_probabilities, schema_for_model
from agentd.tasks.prompt import build_messages, combining_text
from agentd.tasks.split import Part, split_document, split_part

PART_TOKENS = 1500  # of a part, at most: several fit into the cache at once, and small models lose less
LEAST_TOKENS = 64  # of room for a part; with less a document could not be read at all
SAMPLE = 8000  # characters by which the density of tokens is guessed
MARGIN = 0.9  # of the room that is filled by the guess, so that few parts must be cut again
AHEAD = 2  # requests beyond those that the engine works on at the same time


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """The answer about one part, or about several put together."""

    output: Output
    tokens: int  # of text that it stands for
    generation: Generation


class Progress(Protocol):
    """Where the parts that are done are kept, so that none is done twice."""

    async def load(self, key: str) -> Done | None:
        """What was kept under this key by an earlier try of the job."""

    async def save(self, key: str, done: Done) -> None:
        """Keep what is done."""

    async def tell(self, done: int, total: int, what: str) -> None:
        """Say how far it is: parts of the document, or of what is put together."""


class Unkept:
    """The progress of a run that nobody takes up again."""

    async def load(self, key: str) -> Done | None:
        """Nothing."""
        return None

    async def save(self, key: str, done: Done) -> None:
        """Keep nothing."""

    async def tell(self, done: int, total: int, what: str) -> None:
        """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be done."""

    part: Part
    error: AgentdError


@dataclass(frozen=True, slots=True)
class LongAnswer:
    """What came of a long document."""

    output: Output
    probabilities: dict[str, dict[str, float]]
    parts: int
    tokens: int  # of the parts that were read
    failures: tuple[Failure, ...]
    generations: tuple[Generation, ...]  # of every request


class LongRun:
    """One run of a task on a document that is longer than the model's room."""

    def __init__(self, task: Task, document: Document, model: Model, progress: Progress) -> None:
        self._task, self._document, self._model, self._progress = task, document, model, progress
        self._room = model.info.context - task.max_tokens
        self._slots = asyncio.Semaphore(model.info.parallel + AHEAD)
        self._generations: list[Generation] = []

    async def run(self) -> LongAnswer:
        """Read every part, put the answers together.

        Raises `TooLong` where not even a small part fits, `InvalidOutput` where no part could be done, and
        `EngineError` where the engine fails.
        """
        parts = await self._split()
        done, failures = await self._map(parts)
        if not done:
            raise failures[0].error
        output = merge(self._task, [one.output for one in done])
        found = [one.generation.probabilities for one in done]
        probabilities = merge_probabilities(found, [one.tokens for one in done])
        output |= {name: max(shares, key=lambda choice: shares[choice]) for name, shares in probabilities.items()}
        output |= await self._reduce(done)
        order = list(self._task.schema["properties"])
        return LongAnswer(
            {name: output[name] for name in order if name in output},
            probabilities,
            len(parts),
            sum(one.tokens for one in done),
            tuple(failures),
            tuple(self._generations),
        )

    async def _split(self) -> list[tuple[Part, int]]:
        """The parts with the tokens of each."""
        empty = await self._count(self._messages(Part(1, "")))
        most = min(self._room - empty, PART_TOKENS)
        if most < LEAST_TOKENS:
            raise TooLong(
                f"the task {self._task.name} leaves {max(most, 0):,} tokens for a document "
                f"(context {self._model.info.context:,}, answer up to {self._task.max_tokens:,})",
                hint=f"raise models.{self._task.model}.context in the config, or lower max_tokens of the task",
            )
        sample = self._document.text[:SAMPLE]
        density = (await self._count(self._messages(Part(1, sample))) - empty) / len(sample)
        waiting = split_document(self._document, max(int(MARGIN * most / max(density, 0.01)), 1))[::-1]
        fitting: list[tuple[Part, int]] = []
        while waiting:
            part = waiting.pop()
            if not part.text.strip():
                fitting.append((part, 0))  # nothing to read, and still a part of the text
                continue
            tokens = await self._count(self._messages(part)) - empty
            if tokens > most and len(part.text) > 1:
                waiting += split_part(part)[::-1]
            else:
                fitting.append((part, tokens))
        return fitting

    async def _map(self, parts: Sequence[tuple[Part, int]]) -> tuple[list[Done], list[Failure]]:
        """Every part's answer in order, and those parts that failed twice."""
        asked = [(part, tokens) for part, tokens in parts if tokens]
        finished = 0

        async def one(part: Part, tokens: int) -> Done | AgentdError:
            nonlocal finished
            try:
                found: Done | AgentdError = await self._ask_part(part, tokens)
            except (InvalidOutput, EngineTimeout) as failed:
                found = failed
            finished += 1
            await self._progress.tell(finished, len(asked), "parts")
            return found

        found = await _gather([one(part, tokens) for part, tokens in asked])
        done: list[Done] = []
        failures: list[Failure] = []
        for (part, tokens), answer in zip(asked, found, strict=True):
            if isinstance(answer, AgentdError):
                try:
                    answer = await self._ask_part(part, tokens)
                except (InvalidOutput, EngineTimeout) as failed:
                    failures.append(Failure(part, failed))
                    continue
            done.append(answer)
        return done, failures

    async def _ask_part(self, part: Part, tokens: int) -> Done:
        document = replace(self._document, text=part.text)
        done = await self._ask(self._messages(part), bind_schema(self._task.asked, document), tokens)
        kinds = self._task.schema["properties"]
        # The same line may stand in several parts: only here it is known which was meant.
        lists = {
            name: complete(self._document, value, kinds[name], part.line)
            for name, value in done.output.items()
            if isinstance(value, list)
        }
        return replace(done, output=done.output | lists)

    async def _reduce(self, done: Sequence[Done]) -> Output:
        """What is left for a model, put together until one answer remains."""
        schema = schema_for_model(self._task)
        if schema is None:
            return {}
        level = [_only(one, schema) for one in done]
        while len(level) > 1:
            groups = await self._group(level, schema)
            if len(groups) == len(level):
                raise InvalidOutput(
                    f"the answers about two parts of the document do not fit into {self._room:,} tokens",
                    hint=f"raise models.{self._task.model}.context in the config",
                )
            put: list[Done] = []
            for number, group in enumerate(groups, 1):
                put.append(group[0] if len(group) == 1 else await self._combine(group, schema))
                await self._progress.tell(number, len(groups), "summaries")
            level = put
        return level[0].output

    async def _group(self, level: Sequence[Done], schema: dict[str, Any]) -> list[list[Done]]:
        """As many answers together as fit into one request."""
        groups: list[list[Done]] = [[]]
        for one in level:
            if groups[-1] and await self._count(self._combining([*groups[-1], one], schema)) > self._room:
                groups.append([])
            groups[-1].append(one)
        return groups

    async def _combine(self, group: Sequence[Done], schema: dict[str, Any]) -> Done:
        quotes = list(dict.fromkeys(one for done in group for one in candidates(done.output, schema)))
        bound = bind_quotes(schema, Quotes(quotes, "\n".join(quotes)))
        return await self._ask(self._combining(group, schema), bound, sum(one.tokens for one in group))

    async def _ask(self, messages: tuple[Message, ...], schema: dict[str, Any], tokens: int) -> Done:
        request = request_of(self._task, messages, schema, Priority.BACKFILL)
        key = _key(request)
        if kept := await self._progress.load(key):
            self._generations.append(kept.generation)
            return kept
        async with self._slots:
            generation = await self._model.generate(request)
        done = Done(parse_output(self._task, generation, schema), tokens, replace(generation, text=""))
        self._generations.append(done.generation)
        await self._progress.save(key, done)
        return done

    async def _count(self, messages: tuple[Message, ...]) -> int:
        return (await self._model.render(messages, Priority.BACKFILL)).tokens

    def _messages(self, part: Part) -> tuple[Message, ...]:
        return build_messages(self._task, replace(self._document, text=part.text))

    def _combining(self, group: Sequence[Done], schema: dict[str, Any]) -> tuple[Message, ...]:
        shown = "\n\n".join(
            f"Part {number}:\n{json.dumps(one.output, ensure_ascii=False, indent=0)[2:-2]}"
            for number, one in enumerate(group, 1)
        )
        system = combining_text(self._task, schema)
        user = build_messages(self._task, replace(self._document, text=shown))[1]
        return Message("system", system), user


async def _gather(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at the same time; where one raises, the others are ended first."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


def _only(done: Done, schema: dict[str, Any]) -> Done:
    return replace(
        done, output={name: value for name, value in done.output.items() if name in schema["properties"]}
    )


def _key(request: Request) -> str:
    """What a request is known by: its messages and its schema."""
    basis = [[(message.role, message.content) for message in request.messages], request.schema]
    return hashlib.sha256(json.dumps(basis).encode()).hexdigest()
