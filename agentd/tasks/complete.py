"""What code adds to an answer: where quotes stand, and what the lines that a model pointed at come to."""

from typing import Any

from agentd.readers.facts import FINDERS
from agentd.readers.quotes import find_quote, line_at
from agentd.records import Document
from agentd.tasks.bind import BY_LINE
from agentd.tasks.schema import FINDS, FROM_DOCUMENT, FROM_PLACE


def complete(document: Document, output: Any, schema: dict[str, Any], line: int = 1) -> Any:
    """The output of a task from what a model answered by `schema.asked_schema`.

    Quotes are looked for from line `line` of the document's text on. What is complete already stays as it is.
    """
    if FINDS in schema:
        return _found(document, output, schema[FINDS], line) if isinstance(output, str) else output
    if isinstance(output, list) and "items" in schema:
        return _each_quote_once(
            [complete(document, item, schema["items"], line) for item in output], schema["items"]
        )
    if not isinstance(output, dict) or "properties" not in schema:
        return output
    kinds = schema["properties"]
    quotes = [str(output[name]) for name, kind in kinds.items() if FROM_DOCUMENT in kind and name in output]
    done = {name: complete(document, value, kinds[name], line) for name, value in output.items() if name in kinds}
    places = {
        name: where(document, quotes[0] if quotes else "", line) for name in kinds if FROM_PLACE in kinds[name]
    }
    return {name: {**places, **done}[name] for name in kinds if name in places or name in done}


def _each_quote_once(items: list[Any], schema: dict[str, Any]) -> list[Any]:
    """Objects that quote the same are one and the same: a small model likes to say its best one again."""
    quoted = [name for name, kind in schema.get("properties", {}).items() if FROM_DOCUMENT in kind]
    if not quoted:
        return items
    return list({str(item.get(quoted[0])): item for item in reversed(items)}.values())[::-1]


def where(document: Document, quote: str, line: int = 1, *, by_line: bool = False) -> str:
    """Where a quote stands in a document, for people; empty where it is not there."""
    start = 0
    for _ in range(line - 1):
        start = document.text.find("\n", start) + 1
    found = find_quote(document.text, quote, start, by_line=by_line or document.kind in BY_LINE)
    return document.where(line_at(document.text, found[0])) if found else ""


def locate(document: Document, output: Any, schema: dict[str, Any], path: str = "") -> dict[str, str]:
    """Where each sentence of the document stands that an output quotes, by its path, such as `key_points/0`."""
    if FROM_DOCUMENT in schema:
        place = where(document, str(output))
        return {path: place} if place else {}
    inner: list[tuple[str, Any, dict[str, Any]]] = []
    if isinstance(output, dict) and "properties" in schema:
        kinds = schema["properties"]
        told = any(FROM_PLACE in kind for kind in kinds.values())  # it says so itself
        inner = [(name, value, kinds[name]) for name, value in output.items() if name in kinds and not told]
    elif isinstance(output, list) and "items" in schema:
        inner = [(str(index), value, schema["items"]) for index, value in enumerate(output)]
    places: dict[str, str] = {}
    for name, value, kind in inner:
        places |= locate(document, value, kind, f"{path}/{name}" if path else name)
    return places


def _found(document: Document, quote: str, kind: str, line: int) -> dict[str, Any] | None:
    found = FINDERS[kind](quote, document.text)
    return {**found.values, "quote": quote, "where": where(document, quote, line, by_line=True)} if found else None
