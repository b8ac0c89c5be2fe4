"""JSON: small files whole, large ones as the shape of what is in them, with counts and examples."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

from agentd.errors import Malformed
from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.readers.tables import MOST_CHARACTERS, read_lines_of_json
from agentd.records import Place

EXAMPLES = 3
MAX_DEPTH = 8  # of the shape; what lies deeper is counted and not drawn


def read(file: BinaryIO, name: str) -> Content:
    """A JSON file, or one JSON value a line; raises `Malformed` with the line."""
    text = decode(file.read(), name)
    try:
        value = json.loads(text)
    except RecursionError as broken:
        raise Malformed(f"{name} is nested too deeply") from broken
    except ValueError as broken:
        first, _, rest = text.strip().partition("\n")
        if rest and _is_json(first):
            return read_lines_of_json(text, name)
        raise Malformed(f"{name} is not JSON: {broken}") from broken
    if len(text) <= MOST_CHARACTERS:
        return Content(text)
    lines = [f"JSON of {len(text):,} characters. Every value is counted here:", *_shape(value, "", 0)]
    return Content("\n".join(lines), (Place(1, "summary"),))


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _shape(value: Any, indent: str, depth: int) -> Iterator[str]:
    """What a value is made of; the items of a list are described together."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{indent}- {key}", [inner], 1, indent, depth)
    elif isinstance(value, list):
        yield from _entry(f"{indent}- items", value, len(value), indent, depth)
    else:
        yield f"{indent}- {_kind(value)}: {_short(value)}"


def _entry(lead: str, values: list[Any], of: int, indent: str, depth: int) -> Iterator[str]:
    """A line about the values of one key of `of` objects, and the lines about what is inside them."""
    kinds = Counter(_kind(value) for value in values)
    told = ", ".join(f"{count:,} {kind}" if of > 1 else kind for kind, count in kinds.most_common())
    plain = [value for value in values if not isinstance(value, dict | list)]
    numbers = [value for value in plain if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) > 1 and len(numbers) == len(values):
        told += f" from {min(numbers)} to {max(numbers)}"
    elif plain:
        told += ": " + ", ".join(dict.fromkeys(_short(value) for value in plain[: EXAMPLES * 20]))[:200]
    yield f"{lead}: {told}"
    if depth >= MAX_DEPTH:
        return
    deeper = indent + "  "
    objects = [value for value in values if isinstance(value, dict)]
    for key in dict.fromkeys(key for value in objects for key in value):
        inner = [value[key] for value in objects if key in value]
        yield from _entry(f"{deeper}- {key}", inner, len(objects), deeper, depth + 1)
    if lists := [item for value in values if isinstance(value, list) for item in value]:
        yield from _entry(f"{deeper}- items", lists, len(lists), deeper, depth + 1)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list():
            return f"list of {len(value):,}" if len(value) != 1 else "list of one"
    return "object"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
