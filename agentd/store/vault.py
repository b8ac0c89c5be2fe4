"""The notes of the owner's vaults, as evidence for tagging: their words, and the tags that they were given.

An index and nothing more: it is made again from the files wherever it is missing.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from agentd.store.positions import Stamp


@dataclass(frozen=True, slots=True)
class VaultNote:
    """A note as it is indexed."""

    source: str
    stamp: Stamp
    content: str  # sha256 of the file
    title: str
    text: str
    tags: tuple[str, ...]  # those that the owner gave it

    @property
    def text_sha256(self) -> str:
        """What the vectors of its text are found by."""
        return sha256_of(self.text)


def sha256_of(text: str) -> str:
    """The checksum of a note's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stamps(db: Database, root: str) -> dict[str, Stamp]:
    """What each indexed note of a vault looked like, by source."""
    rows = db.query("SELECT source, inode, size, mtime_ns FROM vault_notes WHERE root = ?", [root])
    return {row["source"]: Stamp(row["inode"], row["size"], row["mtime_ns"]) for row in rows}


def notes(db: Database, root: str, sources: Sequence[str]) -> list[VaultNote]:
    """Those of these notes that are indexed."""
    rows = db.query(
        "SELECT * FROM vault_notes WHERE root = ? AND source IN (SELECT value FROM json_each(?))",
        [root, json.dumps(list(sources))],
    )
    return [_note(row) for row in rows]


def page(db: Database, root: str, after: int, limit: int) -> tuple[list[VaultNote], int]:
    """The next indexed notes after a row, and the row to go on from; no note at the end."""
    rows = list(
        db.query("SELECT * FROM vault_notes WHERE root = ? AND id > ? ORDER BY id LIMIT ?", [root, after, limit])
    )
    return [_note(row) for row in rows], rows[-1]["id"] if rows else after


def put(db: Database, root: str, found: Sequence[VaultNote], gone: Sequence[str]) -> None:
    """Index notes anew, and drop those that are gone."""
    for source in gone:
        db.execute("DELETE FROM vault_notes WHERE root = ? AND source = ?", [root, source])
    columns = ("root", "source", "inode", "size", "mtime_ns", "content", "title", "tags", "text_sha256", "text")
    places = ", ".join("?" * len(columns))
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns[2:])
    statement = f"INSERT INTO vault_notes ({', '.join(columns)}) VALUES ({places}) "
    statement += f"ON CONFLICT (root, source) DO UPDATE SET {changed}"
    for note in found:
        stamp = note.stamp
        tags = json.dumps(note.tags, ensure_ascii=False)
        told = (note.content, note.title, tags, note.text_sha256, note.text)
        db.execute(statement, [root, note.source, stamp.inode, stamp.size, stamp.mtime_ns, *told])


def similar(db: Database, root: str, terms: Sequence[str], besides: str, limit: int) -> list[VaultNote]:
    """The tagged notes that share most with these terms, by bm25; not the note `besides` itself."""
    query = " OR ".join(f'"{term}"' for term in terms if re.fullmatch(r"\w+", term))
    if not query:
        return []
    rows = db.query(
        "SELECT n.source FROM vault_notes_fts JOIN vault_notes n ON n.id = vault_notes_fts.rowid "
        "WHERE vault_notes_fts MATCH ? AND n.root = ? AND n.tags != '[]' AND n.source != ? "
        "ORDER BY bm25(vault_notes_fts) LIMIT ?",
        [query, root, besides, limit],
    )
    order = [row["source"] for row in rows]
    found = {note.source: note for note in notes(db, root, order)}
    return [found[source] for source in order]


def roots(db: Database) -> list[str]:
    """The vaults that were ever indexed."""
    return [row["root"] for row in db.query("SELECT DISTINCT root FROM vault_notes ORDER BY root")]


def count_tags(db: Database, roots: Sequence[str]) -> dict[str, int]:
    """How many notes of these vaults have each tag; one that lies in several counts once."""
    rows = db.query(
        "SELECT tags.value AS tag, count(DISTINCT n.source) AS notes "
        "FROM vault_notes AS n, json_each(n.tags) AS tags WHERE n.root IN (SELECT value FROM json_each(?)) "
        "GROUP BY tags.value ORDER BY notes DESC, tag",
        [json.dumps(list(roots))],
    )
    return {row["tag"]: row["notes"] for row in rows}


def _note(row: dict[str, Any]) -> VaultNote:
    stamp = Stamp(row["inode"], row["size"], row["mtime_ns"])
    tags = tuple(json.loads(row["tags"]))
    return VaultNote(row["source"], stamp, row["content"], row["title"], row["text"], tags)
