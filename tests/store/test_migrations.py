import multiprocessing
import sqlite3
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from agentd.errors import NewerDatabase, StoreError
from agentd.records import JobState
from agentd.store import checksums, choices, findings, logs, positions, queue, results, search
from agentd.store.database import Store, connect, migrate
from tests.making import NOW, make_choice, make_document, make_result
from tests.store.dump import FIXTURES, LEARNED, dump, schema

# What results of a released schema did not know yet.
UNKNOWN: dict[str, dict[str, Any]] = {"schema_0001": {"engine_seconds": 0.0, "probabilities": {}}}
WITHOUT_CHOICES = {"schema_0001", "schema_0002"}
WITHOUT_LOGS = {*WITHOUT_CHOICES, "schema_0003"}
RELEASED = sorted(FIXTURES.glob("schema_*.sql"))


def restore(fixture: Path, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(fixture.read_text("utf-8"))
    connection.close()


def look(path: Path, what: Callable[[sqlite3.Connection], object]) -> object:
    connection = sqlite3.connect(path)
    try:
        return what(connection)
    finally:
        connection.close()


def own_schema(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    return {part for part in schema(connection) if "_sqlite_migrations" not in part[1]}


@pytest.mark.parametrize("fixture", RELEASED, ids=lambda fixture: fixture.stem)
async def test_a_database_of_a_released_schema_is_opened_with_all_it_holds(fixture: Path, path: Path) -> None:
    restore(fixture, path)
    store = Store(path)
    try:
        jobs = await store.read(queue.find)
        assert {job.source: (job.state, job.reason) for job in jobs} == {
            "/notes/pears.md": (JobState.DONE, None),
            "/notes/empty.md": (JobState.FAILED, "empty"),
            "/notes/slow.md": (JobState.QUEUED, "engine-timeout"),
            "/notes/new.md": (JobState.QUEUED, None),
        }
        (stored,) = await store.read(results.find)
        assert (stored.source, stored.result) == ("/notes/pears.md", make_result(**UNKNOWN.get(fixture.stem, {})))
        (hit,) = await store.read(search.find_passages, ["february"], 5)
        assert (hit.source, hit.line) == ("/notes/pears.md", 2)
        assert len(await store.read(positions.load, "note-tagging", "/notes/")) == 4
        assert await store.read(positions.was_scanned, "note-tagging", "/notes")
        assert await store.read(checksums.get, "/models/m.gguf", 100, 1, 7) == "ab" * 32
        choice = make_choice()
        found = await store.read(choices.get, choice.sha256, choice.machine)
        assert found == (None if fixture.stem in WITHOUT_CHOICES else choice)
        saved = await store.read(logs.load, LEARNED.source)
        assert (saved is None) == (fixture.stem in WITHOUT_LOGS)
        if saved:
            assert (saved.marks, saved.patterns) == (LEARNED.marks, LEARNED.patterns)
            (kept,) = await store.read(findings.find_findings)
            assert kept.behaviour == LEARNED.findings[0].behaviour
        # It goes on working: the job that waited is done, and found.
        job = await store.write(queue.claim, "boot:1:2", "main", NOW)
        assert job is not None
        await store.write(results.complete, job, "boot:1:2", "hash", make_result(), make_document("frost"), NOW)
        assert len(await store.read(search.find_passages, ["frost"], 5)) == 1
    finally:
        store.close()
    assert look(path, lambda c: c.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


@pytest.mark.parametrize("fixture", RELEASED, ids=lambda fixture: fixture.stem)
def test_a_migrated_database_has_the_schema_of_a_fresh_one(fixture: Path, tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    restore(fixture, old)
    for path in (old, fresh):
        Store(path).close()
    assert look(old, own_schema) == look(fresh, own_schema)


def test_the_newest_fixture_is_of_todays_schema(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.db"
    Store(fresh).close()
    old = tmp_path / "old.db"
    restore(RELEASED[-1], old)
    assert look(old, own_schema) == look(fresh, own_schema), "write its fixture: python -m tests.store.dump"


def test_a_dump_is_the_whole_database(path: Path) -> None:
    restore(RELEASED[-1], path)
    assert look(path, dump) == RELEASED[-1].read_text("utf-8")


def test_a_database_of_a_later_agentd_is_refused_and_left_alone(path: Path) -> None:
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('agentd', '9999_future', '')"
    )
    connection.commit()
    before = list(connection.iterdump())
    with pytest.raises(NewerDatabase, match="9999_future"):
        Store(path)
    assert list(connection.iterdump()) == before
    connection.close()


def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path) -> None:
    path.write_text("this is a shopping list, and long enough to have a header\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        Store(path)
    assert path.read_bytes() == before


def test_opening_a_finished_database_takes_no_lock(path: Path) -> None:
    Store(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    db = connect(path)
    try:
        migrate(db)
        assert queue.find(db) == []
    finally:
        db.close()
        holder.close()


ROUNDS = 10


def open_each(folder: Path, barrier: Barrier) -> None:
    for number in range(ROUNDS):
        barrier.wait(60)
        Store(folder / f"{number}.db").close()


def test_processes_that_open_a_new_home_at_once_make_one_schema(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    children = [context.Process(target=open_each, args=(tmp_path, barrier)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    fresh = tmp_path / "fresh.db"
    Store(fresh).close()
    for number in range(ROUNDS):
        assert look(tmp_path / f"{number}.db", own_schema) == look(fresh, own_schema)
        names = look(
            tmp_path / f"{number}.db", lambda c: c.execute("SELECT name FROM _sqlite_migrations").fetchall()
        )
        assert names == [
            ("0001_jobs_results_documents",),
            ("0002_shares_and_probabilities",),
            ("0003_choices",),
            ("0004_logs",),
            ("0005_folders",),
            ("0006_service",),
        ]
