"""The output of a task: from what its file says to the JSON Schema of a result, and to what a model is asked.

Both are closed and bounded. Three things the model is never asked, because code knows better: the words that
evidence chooses among, what a date or an amount that it points at comes to, and where a quote stands.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentd.config import Yaml
from agentd.readers.facts import FINDERS

# Bounds of an output schema: what a grammar can be compiled from in no time, and a person can read.
MAX_SCHEMA_BYTES = 16 * 1024
MAX_DEPTH = 8
MAX_ITEMS = 64
MAX_LENGTH = 2000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # a column of the task's view, too
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
    "finds": str,
    "decide": str,
}
# What means something here, and nothing in JSON Schema, or is put together anew.
_OWN_KEYWORDS = ("optional", "decide", "items", "properties")
# What a string with `from: document` is until a document is there: see `bind`.
FROM_DOCUMENT = "x-from-document"
# … what one with `from: place` is until its quote was found there: see `complete`.
FROM_PLACE = "x-from-place"
# … and what `finds: date` stands for: a line with one is asked for, a value with its quote is the output.
FINDS = "x-finds"
_TYPES = ("string", "integer", "number", "boolean", "array", "object")

Place = tuple[str | int, ...]


def asked_schema(schema: dict[str, Any], evidence: Sequence[str]) -> dict[str, Any]:
    """What a model is asked of an output: one word where evidence chooses, a line for what is found, no places."""
    kinds = schema["properties"]
    chosen = {name: {"enum": choices(kinds[name])} for name in evidence}
    return _asked(schema | {"properties": kinds | chosen})


def choices(schema: dict[str, Any]) -> list[Any]:
    """The choices of an enum, or of the items of a list of them."""
    found: list[Any] = schema["items"]["enum"] if "items" in schema else schema["enum"]
    return found


def _asked(schema: dict[str, Any]) -> dict[str, Any]:
    if FINDS in schema:
        return {key: value for key, value in schema.items() if key in (FINDS, "description")}
    if schema.get("type") == "array":
        return schema | {"items": _asked(schema["items"])}
    if schema.get("type") == "object":
        kinds = {name: _asked(kind) for name, kind in schema["properties"].items() if FROM_PLACE not in kind}
        return schema | {"properties": kinds, "required": [name for name in schema["required"] if name in kinds]}
    return schema


class SchemaReader:
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
        if "finds" in raw:
            return self._finds(raw, place)
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
        described = {key: value for key, value in raw.items() if key == "description"}
        if raw["from"] == "document":
            return {"type": "string", FROM_DOCUMENT: True} | described
        if raw["from"] == "place":
            if len(place) <= len(("output", "NAME")):
                raise self._yaml.fail(place, "`from: place` stands in an object, beside a quote `from: document`")
            return {"type": "string", FROM_PLACE: True} | described
        raise self._yaml.fail((*place, "from"), f"`from` may be `document` or `place`, not `{raw['from']}`")

    def _finds(self, raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
        kind = raw["finds"]
        if kind not in FINDERS:
            raise self._yaml.fail((*place, "finds"), f"`finds` may be {', '.join(FINDERS)}, not `{kind}`")
        if len(place) > len(("output", "NAME")):
            raise self._yaml.fail((*place, "finds"), "`finds` stands directly under `output`")
        texts = {name: {"type": "string"} for name in ("quote", "where")}
        value = {"type": "number"} if kind == "amount" else {"type": "string"}
        money = {"currency": {"type": ["string", "null"]}} if kind == "amount" else {}
        found = {
            "type": "object",
            "properties": {"value": value, **money, **texts},
            "required": ["value", *money, *texts],
            "additionalProperties": False,
        }
        described = {key: value for key, value in raw.items() if key == "description"}
        return {"anyOf": [found, {"type": "null"}], FINDS: kind} | described

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
