"""Databases as SQL text, so that a released schema can be kept and read.

`python -m tests.store.dump` writes the fixture of the newest schema: run it once, when a migration is released.
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

from sqlite_utils import Database

from agentd.errors import EmptyInput, EngineTimeout
from agentd.records import Priority
from agentd.store import checksums, choices, logs, positions, queue, results
from agentd.store.database import connect, migrate
from agentd.store.migrations import migrations
from agentd.store.positions import Stamp, Taken
from tests.making import NOW, make_choice, make_document, make_event, make_result
from tests.store.learned import delta, finding, mark, pattern

LEARNED = delta(marks=(mark(7),), patterns=(pattern(1),), buckets=((1, 100, 5),), findings=(finding(1),))
FIXTURES = Path(__file__).parent / "fixtures"


def schema(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Type, name and SQL of everything but what SQLite keeps for itself and the tables inside an FTS5 index."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' "
        "AND NOT (type = 'table' AND name GLOB '*_fts_*') "
        "ORDER BY type = 'trigger', type = 'index', rowid"
    )
    return [(str(kind), str(name), str(sql)) for kind, name, sql in rows]


def dump(connection: sqlite3.Connection) -> str:
    """The SQL that makes the same database: its triggers fill the indexes, and what is to be told, again."""
    objects = schema(connection)
    lines = [f"{sql};" for _, _, sql in objects]
    for kind, name, sql in objects:
        if kind == "table" and name != "untold" and not sql.startswith("CREATE VIRTUAL"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            quoted = " || ', ' || ".join(f"quote({column})" for column in columns)
            for (values,) in connection.execute(f"SELECT {quoted} FROM {name}"):
                lines.append(f"INSERT INTO {name} VALUES ({values});")
    return "\n".join(lines) + "\n"


def fill(path: Path) -> None:
    """A small history: a job done, one refused, one that waits for its next try, one that was never claimed."""
    db = connect(path)
    migrate(db)
    owner = "boot:1:1"
    texts = {
        "pears.md": "# Pears\nPrune the pear tree in February.",
        "empty.md": "",
        "slow.md": "?",
        "new.md": "!",
    }
    events = [make_event(f"/notes/{name}", text, task="note-tagging") for name, text in texts.items()]
    refused = make_event(
        "/notes/empty.md", "", task="note-tagging", refusal=EmptyInput("/notes/empty.md is empty")
    )
    waiting = make_event("/notes/new.md", "!", task="note-tagging", priority=Priority.BACKFILL)
    events[1], events[3] = refused, waiting
    positions.note_scanned(db, "note-tagging", "/notes", NOW)
    files = [Taken(event, Stamp(number, 40, 1)) for number, event in enumerate(events, start=1)]
    positions.take(db, files, lambda _: ("0123456789abcdef", "main"), NOW)
    job = queue.claim(db, owner, "main", NOW)
    assert job is not None
    document = make_document(texts["pears.md"], "/notes/pears.md")
    results.complete(db, job, owner, "0123456789abcdef", make_result(), document, NOW)
    slow = queue.claim(db, owner, "main", NOW)
    assert slow is not None
    queue.fail(db, slow, owner, EngineTimeout("no answer within 300 s"), NOW, 0.0)
    checksums.put(db, "/models/m.gguf", 100, 1, 7, "ab" * 32)
    choices.put(db, make_choice())
    logs.apply(db, LEARNED, NOW)
    db.close()


def write_fixture(fixture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agentd.db"
        fill(path)
        connection = sqlite3.connect(path)
        fixture.write_text(dump(connection))
        connection.close()


if __name__ == "__main__":
    newest = migrations.pending(Database(memory=True))[-1].name
    target = FIXTURES / f"schema_{newest[:4]}.sql"
    if target.exists():
        sys.exit(f"{target} is there: a released schema never changes")
    write_fixture(target)
