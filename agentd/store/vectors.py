"""The vectors of notes, one for each text and model: made once, dropped with the last note that has the text."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sqlite_utils import Database


class Unembedded(NamedTuple):
    """A text that has no vector yet."""

    text_sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class TaggedVectors:
    """The tagged notes of a vault that have a vector, each at the same place of all three."""

    sources: list[str]
    tags: list[str]  # JSON, which is read of the nearest only
    vectors: list[bytes]


def put(db: Database, model: str, vectors: Iterable[tuple[str, bytes]]) -> None:
    """Keep the vectors of texts, by sha256, as far as a note still has the text."""
    for text_sha256, vector in vectors:
        db.execute(
            "INSERT OR REPLACE INTO vectors (text_sha256, model, vector) SELECT ?, ?, ? "
            "WHERE EXISTS (SELECT 1 FROM vault_notes WHERE text_sha256 = ?)",
            [text_sha256, model, vector, text_sha256],
        )


def get(db: Database, model: str, text_sha256: str) -> bytes | None:
    """The vector of a text; None where there is none yet."""
    rows = db.query("SELECT vector FROM vectors WHERE text_sha256 = ? AND model = ?", [text_sha256, model])
    return next((row["vector"] for row in rows), None)


def missing(db: Database, model: str, besides: Iterable[str], limit: int) -> list[Unembedded]:
    """Texts of tagged notes that have no vector of this model, but for some by sha256; the newest notes first."""
    left_out = set(besides)
    rows = db.query(
        "SELECT text_sha256, text FROM vault_notes WHERE id IN (SELECT max(n.id) FROM vault_notes AS n "
        "WHERE n.tags != '[]' AND NOT EXISTS "
        "(SELECT 1 FROM vectors AS v WHERE v.text_sha256 = n.text_sha256 AND v.model = ?) "
        "GROUP BY n.text_sha256 ORDER BY max(n.id) DESC LIMIT ?) ORDER BY id DESC",
        [model, limit + len(left_out)],
    )
    found = (Unembedded(row["text_sha256"], row["text"]) for row in rows if row["text_sha256"] not in left_out)
    return list(found)[:limit]


def count(db: Database, model: str) -> tuple[int, int]:
    """How many texts of tagged notes have a vector of this model, and how many there are."""
    rows = db.query(
        "SELECT count(v.model) AS done, count(*) AS notes FROM "
        "(SELECT DISTINCT text_sha256 FROM vault_notes WHERE tags != '[]') AS n "
        "LEFT JOIN vectors AS v ON v.text_sha256 = n.text_sha256 AND v.model = ?",
        [model],
    )
    row = next(iter(rows))
    return row["done"], row["notes"]


def tagged(db: Database, model: str, root: str, besides: str) -> TaggedVectors:
    """The tagged notes of a vault with their vectors; not the note `besides` itself."""
    rows = db.execute(
        "SELECT n.source, n.tags, v.vector FROM vault_notes AS n JOIN vectors AS v "
        "ON v.text_sha256 = n.text_sha256 AND v.model = ? "
        "WHERE n.root = ? AND n.tags != '[]' AND n.source != ? AND v.vector != x'' ORDER BY n.id",
        [model, root, besides],
    ).fetchall()
    return TaggedVectors([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def forget_others(db: Database, model: str) -> None:
    """Drop the vectors of models that are not used any more."""
    db.execute("DELETE FROM vectors WHERE model != ?", [model])
