"""Golden examples of a task: texts with what should come of them, and how near an output is to that.

They lie in `NAME.examples.yaml` beside the task. What a model makes of them is asked by others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from agentd.config import Section, read_yaml, validate
from agentd.errors import BrokenTask, NotFound
from agentd.readers.kinds import Kind
from agentd.tasks.settings import parse_vocabulary


class Example(Section):
    """One text and what should come of it."""

    text: str = Field(min_length=1, description="The document.")
    kind: Kind = Field("markdown", description="What kind of document it is.")
    name: str = Field("", description="How the example is called where it fails.")
    expect: dict[str, Any] = Field(
        min_length=1,
        description="By property what it should be: a value, a list, `{words: […]}` for words that a text should "
        "have, or keys that an object should have.",
    )


class Examples(Section):
    """The examples of one task."""

    vocabularies: dict[str, Any] = Field({}, description="Words that the examples choose from, in place of yours.")
    examples: tuple[Example, ...] = Field(min_length=1, description="The examples.")

    def words(self) -> dict[str, dict[str, str]]:
        """The vocabularies with their meanings; raises `ValueError`."""
        return {name: parse_vocabulary(words) for name, words in self.vocabularies.items()}


@dataclass(frozen=True, slots=True)
class FieldScore:
    """How well a property did over all examples that say something about it."""

    field: str
    score: float  # mean, 0 to 1
    examples: int


def read_examples(task_file: Path) -> Examples:
    """The examples beside a task file; raises `NotFound`, or `BrokenTask` with file and line."""
    file = task_file.with_name(f"{task_file.stem}.examples.yaml")
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as missing:
        raise NotFound(
            f"the task {task_file.stem} has no examples: {file} is not there",
            hint=f"agentd tasks new NAME writes a task with some, or $EDITOR '{file}'",
        ) from missing
    except (OSError, UnicodeDecodeError) as broken:
        raise BrokenTask(f"{file}: cannot be read: {broken}") from broken
    yaml = read_yaml(text, file, error=BrokenTask)
    examples = validate(yaml, Examples)
    try:
        examples.words()
    except ValueError as wrong:
        raise yaml.fail(("vocabularies",), str(wrong)) from wrong
    return examples


def score(expected: Any, value: Any) -> float:
    """How near a value is to what was expected, from 0 to 1.

    A list of plain values by what both have of all that either has; a list of objects by how many of those
    expected are there; words by how many a text has; anything else is the same, or not.
    """
    match expected:
        case {"words": list(words)} if len(expected) == 1:
            said = str(value).lower()
            return sum(str(word).lower() in said for word in words) / max(len(words), 1)
        case dict():
            found = [
                score(inner, value.get(key)) if isinstance(value, Mapping) else 0.0
                for key, inner in expected.items()
            ]
            return sum(found) / max(len(found), 1)
        case list() if any(isinstance(item, dict) for item in expected):
            items = value if isinstance(value, list) else []
            return sum(max((score(one, item) for item in items), default=0.0) for one in expected) / len(expected)
        case list():
            wanted, given = set(map(_plain, expected)), set(map(_plain, value if isinstance(value, list) else []))
            return len(wanted & given) / len(wanted | given) if wanted | given else 1.0
    return float(_plain(expected) == _plain(value))


def score_fields(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> list[FieldScore]:
    """The mean of every property over (expected, output) pairs; an output that there is none of scores nothing."""
    found: dict[str, list[float]] = {}
    for expected, output in pairs:
        for name, value in expected.items():
            found.setdefault(name, []).append(score(value, output.get(name)) if output is not None else 0.0)
    return [FieldScore(name, sum(scores) / len(scores), len(scores)) for name, scores in found.items()]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).strip().lower()
    if isinstance(value, bool):
        return f"a truth: {value}"  # for Python, 1 is True
    return float(value) if isinstance(value, int | float) else value
