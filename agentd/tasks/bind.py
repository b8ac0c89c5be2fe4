"""Bind a task's schema to one document: what comes `from: document` becomes a choice of its sentences.

So a key point cannot be made up, and costs next to nothing: what a choice leaves no doubt about is not generated.
"""

from typing import Any

from agentd.model import IN_ORDER
from agentd.readers.sentences import said_in
from agentd.records import Document
from agentd.tasks.definition import FROM_DOCUMENT


def bind_schema(schema: dict[str, Any], document: Document) -> dict[str, Any]:
    """The schema with the document's sentences filled in.

    A list of sentences takes them in their order, each once; a document with fewer gives fewer.
    """
    return bind_sentences(schema, said_in(document.text))


def bind_sentences(schema: dict[str, Any], sentences: list[str]) -> dict[str, Any]:
    """The schema with these sentences to choose from."""
    return _bind(schema, sentences)


def _bind(schema: dict[str, Any], sentences: list[str]) -> dict[str, Any]:
    if FROM_DOCUMENT in schema:
        return {"enum": sentences}
    if schema.get("type") == "object":
        properties = {name: _bind(value, sentences) for name, value in schema["properties"].items()}
        return schema | {"properties": properties}
    if schema.get("type") == "array":
        items = _bind(schema["items"], sentences)
        if FROM_DOCUMENT in schema["items"]:
            count = min(schema["maxItems"], len(sentences))
            return schema | {"items": items, "minItems": count, "maxItems": count, IN_ORDER: True}
        return schema | {"items": items}
    return schema
