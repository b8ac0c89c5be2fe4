"""Documents, by content: the text that results and citations rest on, kept once however often it was read."""

import json

from sqlite_utils import Database

from agentd.records import Document, Place


def keep_document(db: Database, document: Document) -> None:
    """Store a document and its passages, unless they are there."""
    cursor = db.execute(
        "INSERT INTO documents (content, kind, text, first_line, front_matter, places, unit, units, unread) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            *(document.content, document.kind, document.text, document.first_line, document.front_matter),
            json.dumps([[place.line, place.name, place.counts, place.first] for place in document.places]),
            *(document.unit, document.units, json.dumps(document.unread)),
        ],
    )
    if cursor.rowcount == 1:
        for passage in document.passages:
            db.execute(
                "INSERT INTO passages (content, line, text) VALUES (?, ?, ?)",
                [document.content, passage.line, passage.text],
            )


def load_document(db: Database, content: str, source: str) -> Document | None:
    """A stored document, without its passages, as that of `source`; None where it was never stored."""
    rows = db.query(
        "SELECT content, kind, text, first_line, front_matter, places, unit, units, unread "
        "FROM documents WHERE content = ?",
        [content],
    )
    for row in rows:
        places = tuple(Place(*place) for place in json.loads(row.pop("places") or "[]"))
        unread = tuple(json.loads(row.pop("unread") or "[]"))
        return Document(source=source, **row, places=places, unread=unread)
    return None
