"""A real store that holds what was read."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentd.readers.read import read_text
from agentd.records import Document
from agentd.store import queue, results
from agentd.store.database import Database, Store
from tests.making import make_event, make_result

ReadIn = Callable[..., Awaitable[None]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "agentd.db")
    yield store
    store.close()


def _complete(db: Database, document: Document) -> None:
    now = datetime.now(UTC)
    queue.add(db, make_event(document.source, content=document.content), "h1", "main", now)
    job = queue.claim(db, "owner", "main", now)
    assert job is not None
    results.complete(db, job, "owner", "h1", make_result({"title": "Zebra", "tags": ["quagga"]}), document, now)


@pytest.fixture
def read_in(store: Store) -> ReadIn:
    """Let a text be read, as a finished job does."""

    async def read_in(text: str, source: str = "/notes/a.md") -> None:
        await store.write(_complete, read_text(text.encode(), source))

    return read_in
