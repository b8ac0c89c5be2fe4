"""Documents, by content: the text that results and citations rest on, kept once however often it was read."""

from sqlite_utils import Database

from agentd.records import Document


def keep_document(db: Database, document: Document) -> None:
    """Store a document and its passages, unless they are there."""
    cursor = db.execute(
        "INSERT INTO documents (content, kind, text, first_line, front_matter) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [document.content, document.kind, document.text, document.first_line, document.front_matter],
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
        "SELECT content, kind, text, first_line, front_matter FROM documents WHERE content = ?", [content]
    )
    return next((Document(source=source, **row) for row in rows), None)
