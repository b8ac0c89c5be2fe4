"""Bind what a model is asked to one document: quotes become choices of what stands in it.

So a key point cannot be made up, and costs next to nothing: what a choice leaves no doubt about is not generated.
Of prose, sentences are quoted; of code, tables and the like, lines.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentd.model import IN_ORDER
from agentd.readers.bundle import heading
from agentd.readers.facts import candidates
from agentd.readers.sentences import LONGEST, flat, said_in
from agentd.records import Document, is_bundle
from agentd.tasks.schema import FINDS, FROM_DOCUMENT

BY_LINE = ("code", "diff", "csv", "json", "xlsx")  # kinds that are quoted by the line
MOST_FOUND = 40  # lines that a date or an amount is chosen from
_LITTLE = 3  # letters of a word of a description that says nothing


@dataclass(frozen=True, slots=True)
class Quotes:
    """What can be quoted: for `from: document`, and by kind for `finds`."""

    sentences: Sequence[str]
    text: str  # whose lines dates and amounts are looked for in


def bind_schema(schema: dict[str, Any], document: Document) -> dict[str, Any]:
    """The schema with the document's sentences, or lines, filled in.

    A list of sentences takes them in their order, each once; a document with fewer gives fewer.
    """
    return bind_quotes(schema, Quotes(quotable(document), document.text))


def bind_quotes(schema: dict[str, Any], quotes: Quotes) -> dict[str, Any]:
    """The schema with these quotes to choose from."""
    if FINDS in schema:
        return {"enum": _found(schema, quotes.text)}
    if FROM_DOCUMENT in schema:
        return {"enum": list(quotes.sentences)}
    if schema.get("type") == "object":
        properties = {name: bind_quotes(value, quotes) for name, value in schema["properties"].items()}
        return schema | {"properties": properties}
    if schema.get("type") == "array":
        items = bind_quotes(schema["items"], quotes)
        if FROM_DOCUMENT in schema["items"]:
            count = min(schema["maxItems"], len(quotes.sentences))
            return schema | {"items": items, "minItems": count, "maxItems": count, IN_ORDER: True}
        return schema | {"items": items}
    return schema


def quotable(document: Document) -> list[str]:
    """What can be quoted of a document, each once, in order; of a bundle, not the names of its files."""
    if is_bundle(document.source):
        names = {flat(heading(place.name)) for place in document.places}
        return [said for said in said_in(document.text) if said not in names]
    if document.kind not in BY_LINE:
        return said_in(document.text)
    lines = (flat(line) for line in document.text.split("\n"))
    return list(dict.fromkeys(line for line in lines if len(line) <= LONGEST and re.search(r"\w", line)))


def _found(schema: dict[str, Any], text: str) -> list[str | None]:
    """The lines in which something is found; those that share a word with its description, where there are any.

    A name stands alone in its line, so what is said about it there is no sign of it.
    """
    lines = candidates(text, schema[FINDS])
    if schema[FINDS] == "name":
        return [*lines[:MOST_FOUND]] or [None]
    wanted = {word for word in re.findall(r"\w+", schema.get("description", "").lower()) if len(word) > _LITTLE}
    said = [line for line in lines if wanted & set(re.findall(r"\w+", line.lower()))]
    return [*(said or lines)[:MOST_FOUND]] or [None]
