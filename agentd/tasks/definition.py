"""A task file, read and checked: instructions for the model and the schema of its answer.

Every mistake is a `BrokenTask` that names the file and the line. Where task files lie is known to `library`;
what a model makes of one, to `run`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from agentd.config import Duration, Section, read_yaml, validate
from agentd.errors import BadAction, BrokenTask
from agentd.readers.kinds import Kind
from agentd.tasks.schema import MAX_SCHEMA_BYTES, SchemaReader, asked_schema

_HEADER = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?\n(.*)", re.DOTALL | re.MULTILINE)


class TaskHeader(Section):
    """The front matter of a task file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="The file's name without `.md`.")
    description: str = Field(min_length=1, description="One line for `agentd tasks list`.")
    model: str = Field("main", description="Which of the config's models does it.")
    reads: tuple[Kind, ...] = Field((), description="What kinds of file it is for; all of them by default.")
    max_tokens: int = Field(512, ge=1, le=8192, description="The longest answer, in tokens.")
    time_limit: Duration = Field(300.0, description="The longest time one answer may take.")
    actions: tuple[dict[str, Any], ...] = Field((), description="What a result may do; each is planned first.")
    output: dict[str, dict[str, Any]] = Field(
        min_length=1,
        description="The answer's properties as JSON Schema; all are required unless `optional: true`. "
        "`vocabulary: NAME` stands for the words of that vocabulary of the config; a string with "
        "`from: document` is one sentence of the document, word for word, and one beside it in an object with "
        "`from: place` says where that stands; `{finds: date}`, `amount`, `name` or `line` looks for such a thing "
        "and gives its value, its quote and where it stands, or null; an `enum` or a `vocabulary` with "
        "`decide: score` is chosen by how likely each choice is as a whole, and the result says how likely; a "
        "`vocabulary` or a list of its words with `decide: evidence` is chosen by the words of the document, the "
        "notes that already have them and the model's scores together, and the result says why.",
    )


@dataclass(frozen=True, slots=True)
class Task:
    """A task that can be run."""

    name: str
    description: str
    model: str  # the config's name of a model
    reads: tuple[str, ...]
    schema: dict[str, Any]  # JSON Schema of the output, vocabularies filled in
    decide: tuple[str, ...]  # its properties that are chosen by score
    evidence: tuple[str, ...]  # its properties that are chosen by evidence, for which scores are a part
    actions: tuple[Any, ...]  # what a result may do, as who carries that out reads it
    vocabularies: dict[str, str]  # of the properties that are chosen by evidence, the vocabulary's name
    hints: dict[str, str]  # what each word of a vocabulary means
    instructions: str
    max_tokens: int
    seconds: float
    file: Path

    @property
    def asked(self) -> dict[str, Any]:
        """JSON Schema of what the model is asked; see `schema.asked_schema`."""
        return asked_schema(self.schema, self.evidence)


# Reads the actions of a task whose output has these properties; raises `BadAction`.
ReadActions = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], tuple[Any, ...]]


def read_no_actions(raw: Sequence[Mapping[str, Any]], properties: Mapping[str, Any]) -> tuple[Any, ...]:
    """Leave the actions of a task unread, for those who carry none out."""
    return ()


def read_task(
    text: str,
    file: Path,
    vocabularies: Mapping[str, Mapping[str, str]],
    read_actions: ReadActions = read_no_actions,
) -> Task:
    """The task in a file's text; raises `BrokenTask`."""
    match = _HEADER.match(text)
    if not match:
        raise BrokenTask(f"{file}:1: a task file begins with front matter between two lines of ---")
    yaml = read_yaml(match[1], file, first_line=2, error=BrokenTask)
    header = validate(yaml, TaskHeader)
    if header.name != file.stem:
        raise yaml.fail(("name",), f"the name is `{header.name}`, the file's is `{file.stem}`: make them equal")
    if header.time_limit <= 0:
        raise yaml.fail(("time_limit",), "`time_limit` leaves no time for an answer")
    instructions = match[2].strip()
    if not instructions:
        raise yaml.fail((), "there are no instructions after the front matter")
    compiler = SchemaReader(yaml, vocabularies)
    schema = compiler.object(header.output, ("output",), depth=1)
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise yaml.fail(("output",), f"the schema is larger than {MAX_SCHEMA_BYTES // 1024} KiB")
    try:
        actions = read_actions(header.actions, schema["properties"])
    except BadAction as bad:
        raise yaml.fail(("actions", bad.index), f"`actions`: {bad.message}") from bad
    return Task(
        name=header.name,
        description=header.description,
        model=header.model,
        reads=header.reads,
        schema=schema,
        decide=tuple(name for name, value in header.output.items() if value.get("decide") == "score"),
        evidence=tuple(name for name, value in header.output.items() if value.get("decide") == "evidence"),
        actions=actions,
        vocabularies={
            name: (value.get("items") or value)["vocabulary"]
            for name, value in header.output.items()
            if value.get("decide") == "evidence"
        },
        hints=compiler.hints,
        instructions=instructions,
        max_tokens=header.max_tokens,
        seconds=header.time_limit,
        file=file,
    )
