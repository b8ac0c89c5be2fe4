import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database

from agentd.errors import StoreBusy, StoreError
from agentd.records import path_of, source_of
from agentd.store import database, queue
from agentd.store.database import Store, connect
from tests.making import NOW, make_event
from tests.waiting import wait_until


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """The write lock, held by another program."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield holder
    finally:
        holder.close()


def add(db: Database, source: str = "/a.md") -> int | None:
    return queue.add(db, make_event(source), "hash", "main", NOW)


async def test_a_write_waits_for_a_lock_from_outside_while_everything_else_goes_on(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STEP_SECONDS", 0.05)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    with locked(path):
        ticking = asyncio.create_task(tick())
        write = asyncio.create_task(store.write(add))
        await wait_until(lambda: ticks > 40)
        assert await store.read(queue.find) == []
        assert not write.done()
    assert await write
    ticking.cancel()
    assert len(await store.read(queue.find)) == 1


async def test_a_write_gives_up_with_a_name_when_the_lock_never_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STEP_SECONDS", 0.05)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    store = Store(path)
    with locked(path), pytest.raises(StoreBusy, match="another program holds"):
        await store.write(add)
    assert await store.write(add)
    store.close()


async def test_closing_does_not_wait_for_a_lock_from_outside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STEP_SECONDS", 0.05)
    store = Store(path)
    with locked(path):
        write = asyncio.create_task(store.write(add))
        await asyncio.sleep(0)
        await asyncio.to_thread(store.close)
        with pytest.raises(StoreBusy):
            await write


async def test_what_an_operation_does_commits_together_or_not_at_all(store: Store) -> None:
    def half(db: Database) -> None:
        add(db)
        raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        await store.write(half)
    assert await store.read(queue.find) == []
    assert await store.write(add)


async def test_a_commit_that_fails_does_not_spoil_the_next_write(store: Store) -> None:
    def orphan(db: Database) -> None:
        # The check of the foreign key waits for the commit, which then fails and leaves its transaction open.
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO passages (content, line, text) VALUES ('no such document', 1, 'x')")

    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await store.write(orphan)
    assert await store.write(add)
    assert await store.read(lambda db: list(db.query("SELECT * FROM passages"))) == []


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await store.read(add)


async def test_a_full_disk_has_a_name_and_the_store_recovers(store: Store) -> None:
    def limit(db: Database, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(limit, 1)
    with pytest.raises(StoreError, match="no space left"):
        await store.write(lambda db: [add(db, "/" + "x" * 5000 + str(number)) for number in range(100)])
    await store.write(limit, 100_000)
    assert await store.write(add)


async def test_what_was_acknowledged_is_there_after_reopening(path: Path) -> None:
    store = Store(path)
    await store.write(add)
    copy = path.with_name("copy.db")
    # As after a kill: nothing was closed, the write-ahead log is all there is.
    for name in ("", "-wal"):
        copy.with_name(copy.name + name).write_bytes(path.with_name(path.name + name).read_bytes())
    reopened = Store(copy)
    assert len(await reopened.read(queue.find)) == 1
    reopened.close()
    store.close()


@pytest.mark.parametrize("name", [b"caf\xe9.md", b"\xff\xfe", b"50%.md", b"new\nline.md", "schön.md".encode()])
async def test_any_file_name_survives_the_database(store: Store, tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    job_id = await store.write(add, source_of(path))
    assert job_id
    job = await store.read(queue.get, job_id)
    assert path_of(job.source) == path


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        connect(tmp_path / "missing" / "agentd.db")


def test_settings_are_those_that_keep_what_was_acknowledged(db: Database) -> None:
    found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert found == {"journal_mode": "wal", "synchronous": 2}
