"""Notices: what people are to be told, one row for a thing and a place, and the messages in which they are told.

What happened is noted by triggers of the database with what happened (`untold`), becomes notices, and these become
messages: each step in a transaction of its own, so that a death between two loses nothing and tells nothing twice.
Whom to tell of what, and when, is not known here; neither is how.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from agentd.errors import AgentdError
from agentd.records import timestamp
from agentd.store import retry

GIVE_UP_AFTER = timedelta(days=1)  # a laptop may be without a network for a night


@dataclass(frozen=True, slots=True)
class Untold:
    """Something happened that nobody looked at yet, whether to tell it."""

    id: int
    about: str  # finding, quarantined, failed or digest
    ref: int  # id of the finding, the job or the result


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that one place is to be told."""

    key: str  # of one thing that happened, the same for ever
    place: str
    about: str
    ref: int | None
    severity: str
    title: str
    text: str
    created: str


@dataclass(frozen=True, slots=True)
class Message:
    """Notices that one place is told together."""

    id: int
    place: str
    state: str  # sending, sent or failed
    created: str
    attempts: int
    not_before: str
    ended: str | None
    error: str | None
    hint: str | None
    notices: tuple[Notice, ...] = ()

    @property
    def webhook_id(self) -> str:
        """Its id for receivers: the same at every try, and another one in every other home."""
        basis = " ".join((str(self.id), self.place, self.created, *(notice.key for notice in self.notices)))
        return f"agentd-notice-{self.id}-{hashlib.sha256(basis.encode()).hexdigest()[:16]}"


_NOTICE = tuple(field.name for field in fields(Notice))
_MESSAGE = tuple(field.name for field in fields(Message) if field.name != "notices")


def untold(db: Database, limit: int) -> list[Untold]:
    """What happened and was not looked at yet, the oldest first."""
    return [Untold(**row) for row in db.query("SELECT id, about, ref FROM untold ORDER BY id LIMIT ?", [limit])]


def configured(db: Database) -> set[str]:
    """What people were to be told about when that was last looked at."""
    return {row["about"] for row in db.query("SELECT about FROM notice_rules")}


def configure(db: Database, abouts: Collection[str], now: datetime) -> None:
    """Note what people are to be told about; what happened before somebody asked for it is not told."""
    known = configured(db)
    for about in known - set(abouts):
        db.execute("DELETE FROM notice_rules WHERE about = ?", [about])
        if about == "unwell":
            db.execute("DELETE FROM notice_problems")
    for about in set(abouts) - known:
        db.execute("INSERT INTO notice_rules VALUES (?, ?)", [about, timestamp(now)])
        db.execute("DELETE FROM untold WHERE about = ?", [about])


def record(db: Database, last_untold: int, new: Sequence[Notice]) -> None:
    """Keep notices, each thing once for a place, and forget up to where it was looked."""
    _add(db, new)
    db.execute("DELETE FROM untold WHERE id <= ?", [last_untold])


def begin_problems(db: Database, new: Mapping[str, Sequence[Notice]], now: datetime) -> None:
    """Note that the daemon is unwell, by problem with the notices about it, unless that was known."""
    for key, told in new.items():
        known = db.execute(
            "INSERT INTO notice_problems VALUES (?, ?) ON CONFLICT DO NOTHING", [key, timestamp(now)]
        )
        if known.rowcount:
            _add(db, told)


def end_problems(db: Database, keys: Collection[str]) -> None:
    """Note that these problems are over: should they come again, that is told again."""
    db.conn.executemany("DELETE FROM notice_problems WHERE key = ?", [(key,) for key in keys])


def problems(db: Database) -> set[str]:
    """The problems that were there when that was last looked at."""
    return {row["key"] for row in db.query("SELECT key FROM notice_problems")}


def waiting_places(db: Database) -> list[str]:
    """The places with notices or messages that are not told yet."""
    rows = db.query(
        "SELECT place FROM notices WHERE message IS NULL "
        "UNION SELECT place FROM notice_messages WHERE state = 'sending' ORDER BY place"
    )
    return [row["place"] for row in rows]


def pending(db: Database, place: str) -> list[Notice]:
    """What a place is to be told and is in no message yet, the oldest first."""
    rows = db.query(
        f"SELECT {', '.join(_NOTICE)} FROM notices WHERE message IS NULL AND place = ? ORDER BY id", [place]
    )
    return [Notice(**row) for row in rows]


def unsent(db: Database, place: str) -> Message | None:
    """The message that is on its way to a place: there is one at a time."""
    rows = list(
        db.query(
            f"SELECT {', '.join(_MESSAGE)} FROM notice_messages WHERE place = ? AND state = 'sending' LIMIT 1",
            [place],
        )
    )
    return _message(db, rows[0]) if rows else None


def sent_since(db: Database, place: str, since: datetime) -> list[datetime]:
    """When messages went out to a place."""
    rows = db.query(
        "SELECT ended FROM notice_messages WHERE place = ? AND state = 'sent' AND ended > ?",
        [place, timestamp(since)],
    )
    return [datetime.fromisoformat(row["ended"]) for row in rows]


def gather(db: Database, place: str, now: datetime) -> Message | None:
    """Put everything that a place is to be told into one message; None where there is nothing."""
    if not pending(db, place):
        return None
    stamp = timestamp(now)
    cursor = db.execute(
        "INSERT INTO notice_messages (place, state, created, attempts, not_before) VALUES (?, 'sending', ?, 0, ?)",
        [place, stamp, stamp],
    )
    db.execute("UPDATE notices SET message = ? WHERE message IS NULL AND place = ?", [cursor.lastrowid, place])
    return unsent(db, place)


def sent(db: Database, message_id: int, now: datetime) -> None:
    """Note that a message was told."""
    db.execute(
        "UPDATE notice_messages SET state = 'sent', attempts = attempts + 1, ended = ?, error = NULL, hint = NULL "
        "WHERE id = ?",
        [timestamp(now), message_id],
    )


def fail(
    db: Database, message: Message, error: AgentdError, now: datetime, chance: float, *, final: bool
) -> Message:
    """Note why a message was not told: it is tried again for a day, unless that is `final`."""
    attempts = message.attempts + 1
    late = now - datetime.fromisoformat(message.created) >= GIVE_UP_AFTER
    state = "failed" if final or late else "sending"
    due = timestamp(now + timedelta(seconds=retry.backoff(attempts, chance)))
    db.execute(
        "UPDATE notice_messages SET state = ?, attempts = ?, not_before = ?, ended = ?, error = ?, hint = ? "
        "WHERE id = ?",
        [
            state,
            attempts,
            due,
            timestamp(now) if state == "failed" else None,
            error.message,
            error.hint,
            message.id,
        ],
    )
    return get(db, message.id)


def get(db: Database, message_id: int) -> Message:
    """One message."""
    (row,) = db.query(f"SELECT {', '.join(_MESSAGE)} FROM notice_messages WHERE id = ?", [message_id])
    return _message(db, row)


def find(db: Database, *, limit: int) -> list[tuple[Notice, Message | None]]:
    """Notices, newest first, each with the message that it is in."""
    rows = list(db.query(f"SELECT {', '.join(_NOTICE)}, message FROM notices ORDER BY id DESC LIMIT ?", [limit]))
    ids = {row["message"] for row in rows} - {None}
    messages: dict[Any, Message] = {}
    for message_id in ids:
        (row,) = db.query(f"SELECT {', '.join(_MESSAGE)} FROM notice_messages WHERE id = ?", [message_id])
        messages[message_id] = Message(**row)
    return [(_notice(row), messages.get(row["message"])) for row in rows]


def in_trouble(db: Database, since: datetime) -> list[Message]:
    """The last message of each place, where it could not be told so far, or was given up since then."""
    rows = db.query(
        f"SELECT {', '.join(_MESSAGE)} FROM notice_messages "
        "WHERE id IN (SELECT max(id) FROM notice_messages GROUP BY place) AND error IS NOT NULL "
        "AND coalesce(ended, not_before) > ? ORDER BY place",
        [timestamp(since)],
    )
    return [Message(**row) for row in rows]


def _add(db: Database, new: Sequence[Notice]) -> None:
    db.conn.executemany(
        f"INSERT INTO notices ({', '.join(_NOTICE)}) VALUES ({', '.join('?' * len(_NOTICE))}) "
        "ON CONFLICT DO NOTHING",
        [tuple(getattr(one, name) for name in _NOTICE) for one in new],
    )


def _message(db: Database, row: dict[str, Any]) -> Message:
    rows = db.query(f"SELECT {', '.join(_NOTICE)} FROM notices WHERE message = ? ORDER BY id", [row["id"]])
    return Message(**row, notices=tuple(Notice(**one) for one in rows))


def _notice(row: dict[str, Any]) -> Notice:
    return Notice(**{name: row[name] for name in _NOTICE})
