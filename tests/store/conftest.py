"""Real databases in temporary folders."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from agentd.records import Job
from agentd.store import queue
from agentd.store.database import Store, connect, migrate
from tests.making import NOW, make_event

OWNER = "boot:1:1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agentd.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """An empty database of the newest schema, for operations that need no `Store` around them."""
    database = connect(path)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def add_job(db: Database, source: str = "/notes/a.md", text: str = "a", **given: object) -> int:
    added = queue.add(db, make_event(source, text, **given), "hash", "main", NOW)
    assert added is not None
    return added


def claim_job(db: Database, owner: str = OWNER) -> Job:
    job = queue.claim(db, owner, "main", NOW)
    assert job is not None
    return job
