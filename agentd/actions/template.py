"""Texts with `{{ field }}` in them: filled from a result and the name of its file, and from nothing else.

A template knows no code, no filters and no attributes, so that neither a document nor a model can put any there.
"""

import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"\{\{\s*(?:each\s+)?(\w+)\s*\}\}")
_EACH = re.compile(r"(.*)\{\{\s*each\s+(\w+)\s*\}\}(.*)")
_RESERVED = frozenset('/\\:*?"<>|')  # by one file system or another
MAX_NAME = 200  # bytes; file systems take 255, and a suffix or a number may follow


def fields(template: str) -> list[str]:
    """The fields that a template names."""
    return _FIELD.findall(template)


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The text with its fields filled in; a list as words with commas, what is missing as nothing."""
    return _FIELD.sub(lambda match: _text(values.get(match[1])), template)


def fill_lines(template: str, values: Mapping[str, Any]) -> str:
    """As `fill`, but a line with `{{ each field }}` is there for each item of that list, and not without any."""
    lines = list[str]()
    for line in template.splitlines():
        match = _EACH.fullmatch(line)
        value = values.get(match[2]) if match else None
        each = value if match and isinstance(value, list) else [value]
        lines += [fill(line, {**values, match[2]: one} if match else values) for one in each]
    return "\n".join(lines)


def fill_value(template: Any, values: Mapping[str, Any]) -> Any:
    """As `fill`, but a template that is one field and nothing else gives the value itself."""
    if not isinstance(template, str):
        return template
    match = _FIELD.fullmatch(template.strip())
    return values.get(match[1]) if match else fill(template, values)


def fill_path(template: str, values: Mapping[str, Any]) -> list[str]:
    """The parts of a relative path; only a `/` of the template itself begins a new one.

    Each part is a plain name: what no file system or shell is at ease with becomes a dash or goes.
    """
    parts = [plain_name(fill(part, values)) for part in template.split("/")]
    return [part for part in parts if part]


def plain_name(text: str) -> str:
    """A text as a file name; empty where nothing of it is left."""
    # Letters that are not printable include those that turn the direction of text, or are not seen at all.
    plain = "".join(letter if letter.isprintable() and letter not in _RESERVED else "-" for letter in text)
    name = " ".join(plain.split()).strip(". ").lstrip("-. ")  # a dash in front looks like an option
    while len(name.encode()) > MAX_NAME:
        name = name[:-1]
    return name.rstrip(". ")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case list():
            return ", ".join(_text(item) for item in value)
        case dict():
            return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
        case bool():
            return str(value).lower()
    return str(value)
