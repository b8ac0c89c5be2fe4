"""A task file, read and checked: instructions for the model and the schema of its answer.

Every mistake is a `BrokenTask` that names the file and the line. Where task files lie is known to `library`;
what a model makes of one, to `run`.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from agentd.config import Duration, Section, Yaml, read_yaml, validate
from agentd.errors import BadAction, BrokenTask
from agentd.readers.kinds import Kind

# Bounds of an output schema: what a grammar can be compiled from in no time, and a person can read.
MAX_SCHEMA_BYTES = 16 * 1024
MAX_DEPTH = 8
MAX_ITEMS = 64
MAX_LENGTH = 2000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # a column of the task's view, too
_HEADER = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?\n(.*)", re.DOTALL | re.MULTILINE)
# The keywords of JSON Schema that an output may use, and what each must look like.
_KEYWORDS: dict[str, type | tuple[type, ...]] = {
    "type": str,
    "description": str,
    "enum": list,
    "const": (str, int, float, bool),
    "items": dict,
    "properties": dict,
    "minItems": int,
    "maxItems": int,
    "minLength": int,
    "maxLength": int,
    "minimum": (int, float),
    "maximum": (int, float),
    "pattern": str,
    "optional": bool,
    "vocabulary": str,
    "from": str,
    "decide": str,
}
# What means something here, and nothing in JSON Schema, or is put together anew.
_OWN_KEYWORDS = ("optional", "decide", "items", "properties")
# What a string with `from: document` is until a document is there: see `bind`.
FROM_DOCUMENT = "x-from-document"
_TYPES = ("string", "integer", "number", "boolean", "array", "object")

Place = tuple[str | int, ...]


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
        "`from: document` is one sentence of the document, word for word; an `enum` or a `vocabulary` with "
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
        """JSON Schema of what the model is asked: one word of each vocabulary that evidence chooses from."""
        kinds = self.schema["properties"]
        chosen = {name: {"enum": choices(kinds[name])} for name in self.evidence}
        return self.schema | {"properties": kinds | chosen}


def choices(schema: dict[str, Any]) -> list[Any]:
    """The choices of an enum, or of the items of a list of them."""
    found: list[Any] = schema["items"]["enum"] if "items" in schema else schema["enum"]
    return found


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
    compiler = _Schema(yaml, vocabularies)
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


class _Schema:
    """Turns the properties of a task file into a closed, bounded JSON Schema."""

    def __init__(self, yaml: Yaml, vocabularies: Mapping[str, Mapping[str, str]]) -> None:
        self._yaml = yaml
        self._vocabularies = vocabularies
        self.hints: dict[str, str] = {}

    def object(self, properties: Mapping[str, Any], place: Place, depth: int) -> dict[str, Any]:
        """An object schema with exactly these properties."""
        if depth > MAX_DEPTH:
            raise self._yaml.fail(place, f"the schema is nested deeper than {MAX_DEPTH}")
        for name in properties:
            # YAML reads an unquoted `yes`, `on` or `1` as something else than a word.
            if not isinstance(name, str):
                raise self._yaml.fail((*place, str(name)), f"the property `{name}` needs quotes to be a name")
            if not _NAME.fullmatch(name):
                raise self._yaml.fail((*place, name), f"the property `{name}` may have letters, digits and _ only")
        values = {name: self._value(value, (*place, name), depth) for name, value in properties.items()}
        required = [name for name, value in properties.items() if not value.get("optional")]
        return {
            "type": "object",
            "properties": values,
            "required": required,
            "additionalProperties": False,
        }

    def _value(self, raw: Any, place: Place, depth: int) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self._yaml.fail(place, f"`{place[-1]}` needs a schema such as {{type: string}}")
        for key, value in raw.items():
            self._check_keyword(str(key), value, place)
        self._check_bounds(raw, place)
        if "decide" in raw:
            self._check_decide(raw, place)
        if "vocabulary" in raw:
            return self._vocabulary(raw["vocabulary"], place)
        if "enum" in raw:
            return self._enum(raw["enum"], place)
        if "const" in raw:
            return {"const": raw["const"]}
        kept = {key: value for key, value in raw.items() if key not in _OWN_KEYWORDS}
        match raw.get("type"):
            case "object":
                inner = raw.get("properties")
                if not inner:
                    raise self._yaml.fail(place, f"the object `{place[-1]}` needs `properties`")
                return kept | self.object(inner, (*place, "properties"), depth + 1)
            case "array":
                return kept | self._array(raw, place, depth)
            case "string" if "from" in raw:
                return self._from_document(raw, place)
            case "string":
                return kept | {
                    "minLength": max(raw.get("minLength", 1), 1),
                    "maxLength": self._bound(raw, "maxLength", MAX_LENGTH, place),
                }
            case "integer" | "number" | "boolean":
                return kept
        near = ", ".join(_TYPES)
        raise self._yaml.fail(place, f"`{place[-1]}` needs a `type` ({near}), an `enum` or a `vocabulary`")

    def _array(self, raw: Mapping[str, Any], place: Place, depth: int) -> dict[str, Any]:
        if "items" not in raw:
            raise self._yaml.fail(place, f"the array `{place[-1]}` needs `items`")
        if depth >= MAX_DEPTH:
            raise self._yaml.fail(place, f"the schema is nested deeper than {MAX_DEPTH}")
        items = self._value(raw["items"], (*place, "items"), depth + 1)
        return {"items": items, "maxItems": self._bound(raw, "maxItems", MAX_ITEMS, place)}

    def _check_bounds(self, raw: Mapping[str, Any], place: Place) -> None:
        for key in ("minimum", "maximum"):
            if not math.isfinite(raw.get(key, 0)):
                raise self._yaml.fail((*place, key), f"`{key}` is no number")
        for low, high in (("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum")):
            if not raw.get(low, -math.inf) <= raw.get(high, math.inf):
                raise self._yaml.fail((*place, low), f"`{low}` {raw[low]:,} is more than `{high}` {raw[high]:,}")
        for key, most in (("minItems", MAX_ITEMS), ("minLength", MAX_LENGTH)):
            if not 0 <= raw.get(key, 0) <= most:
                raise self._yaml.fail((*place, key), f"`{key}` is {raw[key]:,}; it may be 0 to {most:,}")
        try:
            re.compile(raw.get("pattern", ""))
        except re.error as broken:
            raise self._yaml.fail((*place, "pattern"), f"`pattern` is no regular expression: {broken}") from broken

    def _bound(self, raw: Mapping[str, Any], key: str, most: int, place: Place) -> int:
        value = raw.get(key, most)
        if not 1 <= value <= most:
            raise self._yaml.fail((*place, key), f"`{key}` is {value:,}; it may be 1 to {most:,}")
        return int(value)

    def _check_decide(self, raw: Mapping[str, Any], place: Place) -> None:
        here = (*place, "decide")
        if raw["decide"] not in ("score", "evidence"):
            raise self._yaml.fail(here, f"`decide` may be `score` or `evidence`, not `{raw['decide']}`")
        if raw["decide"] == "evidence":
            items = raw.get("items")
            if len(place) > len(("output", "NAME")) or "vocabulary" not in (items if items else raw):
                raise self._yaml.fail(
                    here,
                    "`decide: evidence` is for words of a vocabulary directly under `output`, such as "
                    f"{place[1]}: {{type: array, items: {{vocabulary: tags}}, maxItems: 3, decide: evidence}}",
                )
            if raw.get("optional"):
                raise self._yaml.fail(here, "`decide: evidence` always says something: leave out `optional`")
            return
        if len(place) > len(("output", "NAME")) or not {"enum", "vocabulary"} & raw.keys():
            raise self._yaml.fail(
                here,
                "`decide: score` is for one choice directly under `output`, such as "
                f"{place[1]}: {{enum: [high, low], decide: score}}",
            )
        if raw.get("optional"):
            raise self._yaml.fail(here, "`decide: score` always chooses: leave out `optional`")

    def _from_document(self, raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
        if raw["from"] != "document":
            raise self._yaml.fail((*place, "from"), f"`from` may be `document`, not `{raw['from']}`")
        described = {key: value for key, value in raw.items() if key == "description"}
        return {"type": "string", FROM_DOCUMENT: True} | described

    def _vocabulary(self, name: str, place: Place) -> dict[str, Any]:
        if name not in self._vocabularies:
            known = ", ".join(self._vocabularies) or "none"
            raise self._yaml.fail(
                (*place, "vocabulary"),
                f"the config has no vocabulary `{name}` (it has: {known}); add `vocabularies: {{{name}: […]}}`",
            )
        if not self._vocabularies[name]:
            raise self._yaml.fail((*place, "vocabulary"), f"the vocabulary `{name}` has no words yet")
        self.hints |= self._vocabularies[name]
        return self._enum(list(self._vocabularies[name]), place)

    def _enum(self, words: Sequence[Any], place: Place) -> dict[str, Any]:
        if not words or not all(isinstance(word, (str, int, float)) for word in words):
            raise self._yaml.fail(place, f"`{place[-1]}` needs a list of at least one word")
        return {"enum": list(words)}

    def _check_keyword(self, key: str, value: Any, place: Place) -> None:
        if key not in _KEYWORDS:
            near = difflib.get_close_matches(key, _KEYWORDS, n=1)
            guess = f"did you mean `{near[0]}`?" if near else f"it may use {', '.join(_KEYWORDS)}"
            raise self._yaml.fail((*place, key), f"unknown schema keyword `{key}`: {guess}")
        kind = _KEYWORDS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, (int, float))):
            raise self._yaml.fail((*place, key), f"`{key}` cannot be {value!r}")
