"""What the engines are given to do: incidents to sort (A), notes to tag (B), a person's question (C).

All of it is made from a seed, so that every side and every run gets the same. Tokens are estimated by the shape
of the text; how many there really are, only a tokenizer knows.
"""

import dataclasses
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentd.model import Message, Request
from agentd.readers.read import read_text
from agentd.records import Priority
from agentd.tasks.bind import bind_schema
from agentd.tasks.library import Library
from agentd.tasks.prompt import build_messages
from benchmarks.engine import stock

INCIDENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "severity": {"enum": ["info", "warning", "error", "critical"]},
        "part": {"enum": list(stock.ALERTS)},
        "summary": {"type": "string", "minLength": 1, "maxLength": 80},
        "action": {"type": "string", "minLength": 1, "maxLength": 80},
    },
    "required": ["severity", "part", "summary", "action"],
    "additionalProperties": False,
}
INCIDENT_TOKENS = 175
NOTE_TOKENS = (200, 1470)
ASK_TOKENS = 300
ASK_ANSWER_TOKENS = 48
SECONDS = 3600.0  # no job of a benchmark may end by its time: the slowest side shares two cores
_TOKEN = re.compile(r"[A-Za-z]{1,6}|\d|[^\w\s]")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One prompt with the schema of its answer; `closed` names the fields that are choices."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None
    max_tokens: int
    closed: tuple[str, ...] = ()

    def request(self, priority: Priority = Priority.TRIGGERED) -> Request:
        """The same for agentd's engine; all but the last message is what jobs have in common."""
        shared = len(self.messages) - 1
        return Request(self.messages, self.schema, self.max_tokens, SECONDS, priority, shared=shared)

    def to_wire(self) -> dict[str, Any]:
        """The same as JSON, for the process of a peer."""
        turns = [dataclasses.asdict(message) for message in self.messages]
        return {"messages": turns, "schema": self.schema, "max_tokens": self.max_tokens}


def incidents(count: int, seed: int = 1) -> list[Job]:
    """Workload A: the same instructions before each record, four fields of which two are choices."""
    system = Message("system", stock.INCIDENT_INSTRUCTIONS)
    chance = random.Random(f"incidents {seed}")
    return [
        Job((system, Message("user", _incident(chance))), INCIDENT_SCHEMA, 160, ("severity", "part"))
        for _ in range(count)
    ]


def notes(count: int, seed: int = 1, file: Path | None = None) -> list[Job]:
    """Workload B: notes of evenly spread lengths, tagged by the shipped task.

    They are made of the entries of `file` (JSON lines with a `text`), or of entries that are made up.
    """
    task = Library(Path("no-tasks-of-its-own"), {"tags": stock.TAGS}).get("note-tagging")
    entries = _entries_of(file) if file else _entries(random.Random(f"notes {seed}"))
    least, most = NOTE_TOKENS
    jobs = []
    for index in range(count):
        target = least + (most - least) * index // max(count - 1, 1)
        text = _gather(entries, target)
        document = read_text(text.encode(), f"note {index}")
        schema = bind_schema(task.schema, document)
        jobs.append(Job(build_messages(task, document), schema, task.max_tokens, ("tags",)))
    # Lengths mixed, as they lie in a folder.
    random.Random(f"order {seed}").shuffle(jobs)
    return jobs


def questions(count: int, seed: int = 1) -> list[Job]:
    """Workload C: a question about some entries, answered in free text. Only their first turn is alike."""
    system = Message("system", "You answer a question from the notes before it, in one or two sentences.")
    chance = random.Random(f"questions {seed}")
    entries = _entries(chance)
    jobs = []
    for _ in range(count):
        asked = f"\n\nWhat was to be done about {chance.choice(stock.FILLERS['plant'])}, and by whom?"
        excerpt = _gather(entries, ASK_TOKENS - estimate(system.content + asked))
        jobs.append(Job((system, Message("user", excerpt + asked)), None, ASK_ANSWER_TOKENS))
    return jobs


def estimate(text: str) -> int:
    """About how many tokens a text has: a piece of a word, a digit or a mark each, and some more."""
    return round(1.09 * len(_TOKEN.findall(text)))


def _incident(chance: random.Random) -> str:
    part = chance.choice(list(stock.ALERTS))
    host = chance.choice(stock.FILLERS["host"])
    lines = [f"host {host}: {_fill(chance.choice(stock.ALERTS[part]), chance)}"]
    remark = _fill(chance.choice(stock.REMARKS), chance)
    minute, second = chance.randrange(60), 0
    # Half a line more is what the last one adds on average.
    while estimate("\n".join([*lines, remark])) < INCIDENT_TOKENS - 15:
        # Most lines are about the matter, some are not.
        about = part if chance.random() < 0.6 else chance.choice(list(stock.LOG_LINES))
        line = _fill(chance.choice(stock.LOG_LINES[about]), chance)
        second += chance.randint(1, 6)
        lines.append(f"02:{minute:02}:{second:02} {line}")
    return "\n".join([*lines, remark])


def _entries(chance: random.Random) -> Iterator[str]:
    """Paragraphs that were made up, each about one matter, without end."""
    while True:
        topic = chance.choice(list(stock.NOTES))
        lines = [_fill(line, chance) for line in chance.sample(stock.NOTES[topic], chance.randint(2, 4))]
        yield f"## {topic.title()}, {_fill('{day}', chance)}\n\n" + ". ".join(lines) + "."


def _entries_of(file: Path) -> Iterator[str]:
    while True:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield from json.loads(line)["text"].strip().split("\n\n")


def _gather(entries: Iterator[str], tokens: int) -> str:
    """Whole entries until there are about `tokens`; the last is cut at a word."""
    text = next(entries)
    while estimate(text) < tokens:
        text += "\n\n" + next(entries)
    while (over := estimate(text) - tokens) > 0:
        words = re.findall(r"\S+\s*", text)
        text = "".join(words[: -max(over // 3, 1)])
    return text.strip()


def _fill(template: str, chance: random.Random) -> str:
    given = {name: chance.choice(choices) for name, choices in stock.FILLERS.items()}
    address = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
    percent, number, big = chance.randint(3, 99), chance.randint(100, 9999), chance.randint(10**6, 10**8)
    return template.format(**given, percent=percent, number=number, big=big, address=address)
