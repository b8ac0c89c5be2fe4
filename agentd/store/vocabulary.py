"""Words beside those of the config: what a person accepted or rejected, and what notes propose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlite_utils import Database

from agentd.errors import NotFound
from agentd.records import timestamp


@dataclass(frozen=True, slots=True)
class Proposal:
    """A word that could be added to a vocabulary."""

    word: str
    notes: int  # that would have it


def accepted(db: Database, vocabulary: str) -> dict[str, str]:
    """The words that were accepted, with their meanings."""
    rows = db.query(
        "SELECT word, meaning FROM vocabulary_words WHERE vocabulary = ? AND accepted ORDER BY decided",
        [vocabulary],
    )
    return {row["word"]: row["meaning"] for row in rows}


def rejected(db: Database, vocabulary: str) -> set[str]:
    """The words that were rejected."""
    rows = db.query("SELECT word FROM vocabulary_words WHERE vocabulary = ? AND NOT accepted", [vocabulary])
    return {row["word"] for row in rows}


def decide(
    db: Database, vocabulary: str, words: Sequence[str], meaning: str, now: datetime, *, accept: bool
) -> None:
    """Accept words, or reject them: they are not proposed again."""
    for word in words:
        db.execute(
            "INSERT INTO vocabulary_words (vocabulary, word, meaning, accepted, decided) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET meaning = excluded.meaning, accepted = excluded.accepted, "
            "decided = excluded.decided",
            [vocabulary, word, meaning, int(accept), timestamp(now)],
        )


def forget(db: Database, vocabulary: str, word: str) -> None:
    """Undo a decision about a word; raises `NotFound`."""
    cursor = db.execute("DELETE FROM vocabulary_words WHERE vocabulary = ? AND word = ?", [vocabulary, word])
    if not cursor.rowcount:
        raise NotFound(f"nothing was decided about `{word}`", hint=f"agentd tasks vocabulary list {vocabulary}")


def propose(db: Database, proposals: Mapping[str, Sequence[str]], source: str) -> None:
    """Note the words that a note proposes for each vocabulary, in the place of those that it proposed before."""
    for vocabulary, words in proposals.items():
        db.execute("DELETE FROM proposals WHERE vocabulary = ? AND source = ?", [vocabulary, source])
        for word in words:
            db.execute(
                "INSERT INTO proposals (vocabulary, word, source) VALUES (?, ?, ?)", [vocabulary, word, source]
            )


def proposals(db: Database, vocabulary: str) -> list[Proposal]:
    """What notes propose and nobody has decided about, the most wanted first."""
    rows = db.query(
        "SELECT word, count(*) AS notes FROM proposals WHERE vocabulary = ?1 AND word NOT IN "
        "(SELECT word FROM vocabulary_words WHERE vocabulary = ?1) GROUP BY word ORDER BY notes DESC, word",
        [vocabulary],
    )
    return [Proposal(row["word"], row["notes"]) for row in rows]
