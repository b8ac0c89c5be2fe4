"""Full-text search over what was read and what came of it: which passages speak of these words.

A passage counts while some task's newest result was made from its document; older versions of a file are
history, not an answer. Ranking is SQLite's bm25; what a question means is not known here.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlite_utils import Database


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that matches, and where it stands."""

    passage_id: int
    result_id: int
    source: str
    content: str
    line: int
    text: str


# The newest result of each task and source, of files that are still there; of a bundle, while any of its files is.
_CURRENT = """
  (NOT EXISTS (SELECT 1 FROM bundles b WHERE b.content = r.content) OR EXISTS
    (SELECT 1 FROM bundles b JOIN positions q ON q.source = b.source AND q.content = b.sha256
     WHERE b.content = r.content AND q.task = r.task AND q.gone IS NULL))
  AND r.id = (SELECT max(id) FROM results WHERE task = r.task AND source = r.source)
  AND NOT EXISTS (SELECT 1 FROM positions q WHERE q.task = r.task AND q.source = r.source AND q.gone IS NOT NULL)
"""


def find_passages(db: Database, terms: Sequence[str], limit: int) -> list[Hit]:
    """Passages that hold any of the terms, or whose document's result does; best first."""
    query = " OR ".join(f'"{term}"' for term in map(_plain, terms) if term)
    if not query:
        return []
    rows = db.query(
        f"""
        WITH hits (passage, score) AS (
          SELECT rowid, bm25(passages_fts) FROM passages_fts WHERE passages_fts MATCH :query
          UNION ALL
          -- A word that only the result says leads to the document's first passage, at half the weight.
          SELECT (SELECT min(id) FROM passages WHERE content = r.content), bm25(results_fts) / 2
          FROM results_fts JOIN results r ON r.id = results_fts.rowid
          WHERE results_fts MATCH :query AND {_CURRENT}
        )
        SELECT p.id AS passage_id, shown.id AS result_id, shown.source, p.content, p.line, p.text
        FROM (SELECT passage, min(score) AS best FROM hits GROUP BY passage) AS found
        JOIN passages p ON p.id = found.passage
        JOIN results shown ON shown.id =
          (SELECT max(r.id) FROM results r WHERE r.content = p.content AND {_CURRENT})
        ORDER BY best LIMIT :limit
        """,
        {"query": query, "limit": limit},
    )
    return [
        Hit(*(row[name] for name in ("passage_id", "result_id", "source", "content", "line", "text")))
        for row in rows
    ]


def weigh_terms(db: Database, terms: Collection[str]) -> dict[str, float]:
    """How telling each term is: ln(1 + N / (1 + n)) for n of all N passages; unknown words weigh most."""
    total = next(iter(db.query("SELECT count(*) AS n FROM passages")))["n"]
    return {term: math.log(1 + total / (1 + _passages_with(db, term))) for term in terms}


def passages_with_terms(db: Database, passage_ids: Sequence[int], term: str) -> set[int]:
    """Which of these passages hold the term, by the stemming of the index."""
    rows = db.query(
        f"SELECT rowid FROM passages_fts WHERE passages_fts MATCH ? "
        f"AND rowid IN ({', '.join('?' * len(passage_ids))})",
        [f'"{_plain(term)}"', *passage_ids],
    )
    return {row["rowid"] for row in rows}


def _passages_with(db: Database, term: str) -> int:
    sql = "SELECT count(*) AS n FROM passages_fts WHERE passages_fts MATCH ?"
    return int(next(iter(db.query(sql, [f'"{_plain(term)}"'])))["n"])


def _plain(term: str) -> str:
    """A term without FTS5's own syntax."""
    return re.sub(r"[^\w]+", " ", term).strip()
