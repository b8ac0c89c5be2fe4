"""Copies of the database: before an old one is brought up to date, and each day."""

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from agentd.errors import NewerDatabase, StoreError
from agentd.store.backup import KEPT, back_up_day, backups, daily_backups
from agentd.store.database import Store, connect, migrate, transaction
from agentd.store.migrations import migrations
from tests.making import NOW
from tests.store.dump import dump
from tests.store.test_migrations import RELEASED, look, restore

OLD = RELEASED[:-1]


def newest_step(connection: sqlite3.Connection) -> str:
    """The number of the newest migration that was applied."""
    return str(connection.execute("SELECT max(name) FROM _sqlite_migrations").fetchone()[0])[:4]


def damage(path: Path) -> None:
    """Let an index be of other columns than it says."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'task, source', 'task, content') "
        "WHERE name = 'jobs_by_source'"
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize("fixture", OLD, ids=lambda fixture: fixture.stem)
def test_a_database_of_a_released_schema_is_kept_as_it_was(
    fixture: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    restore(fixture, path)
    with caplog.at_level(logging.INFO):
        Store(path).close()
    (copy,) = backups(path)
    assert copy.name.startswith(f"agentd-schema-{fixture.stem[-4:]}-20")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert str(copy) in caplog.text
    alone = shutil.copy(copy, path.with_name("alone.db"))
    assert look(alone, dump) == fixture.read_text("utf-8")
    assert look(alone, lambda c: c.execute("PRAGMA integrity_check").fetchone()) == ("ok",)
    assert sorted(file.name for file in path.parent.glob("*-schema-*")) == [copy.name], "nothing beside it"


def test_the_copy_is_a_way_back(path: Path) -> None:
    restore(OLD[-1], path)
    Store(path).close()
    (copy,) = backups(path)
    shutil.copy(copy, path)
    assert look(path, dump) == OLD[-1].read_text("utf-8")
    Store(path).close()
    assert look(path, newest_step) == RELEASED[-1].stem[-4:]


def test_what_was_written_and_not_yet_moved_out_of_the_wal_is_in_the_copy(path: Path) -> None:
    restore(OLD[-1], path)
    writer = connect(path)
    writer.execute("INSERT INTO checksums VALUES ('/late', 1, 2, 3, 'abc')")
    assert path.with_name("agentd.db-wal").stat().st_size
    migrate(writer, NOW)
    writer.close()
    (copy,) = backups(path)
    assert look(copy, lambda c: c.execute("SELECT sha256 FROM checksums WHERE path = '/late'").fetchone()) == (
        "abc",
    )


def test_a_fresh_database_and_one_of_todays_schema_need_no_copy(path: Path) -> None:
    for _ in range(2):
        Store(path).close()
        assert backups(path) == []


def test_only_the_newest_copies_are_kept(path: Path) -> None:
    for day in range(KEPT + 2):
        for left in path.parent.glob("agentd.db*"):
            left.unlink()
        restore(OLD[day % len(OLD)], path)
        db = connect(path)
        migrate(db, NOW + timedelta(days=day))
        db.close()
    stamps = [copy.stem[-16:] for copy in backups(path)]
    assert stamps == [f"{NOW + timedelta(days=day):%Y%m%dT%H%M%SZ}" for day in (4, 3, 2)]


def test_a_damaged_database_is_refused_and_left_alone(path: Path) -> None:
    restore(OLD[-1], path)
    damage(path)
    with pytest.raises(StoreError, match=r"is damaged, and is not touched: .*jobs_by_source") as refused:
        Store(path)
    assert refused.value.hint == "agentd doctor"
    assert look(path, newest_step) == OLD[-1].stem[-4:]
    assert [file.name for file in path.parent.glob("*-schema-*")] == []


def test_a_migration_that_fails_leaves_the_database_as_it_was_and_no_copy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(OLD[-1], path)
    before = look(path, dump)

    def fail(db: object) -> None:
        assert len(backups(path)) == 1, "the copy is there before anything is changed"
        raise sqlite3.OperationalError("a mistake")

    monkeypatch.setattr(migrations, "apply", fail)
    with pytest.raises(StoreError, match="a mistake"):
        Store(path)
    assert (look(path, dump), backups(path)) == (before, [])


def test_what_a_killed_agentd_left_of_a_copy_is_cleared_away(path: Path) -> None:
    restore(OLD[-1], path)
    left = path.with_name("agentd-schema-0005-20260101T000000Z.db.part")
    left.write_text("half of it")
    Store(path).close()
    assert not left.exists()
    assert len(backups(path)) == 1


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_without_room_for_a_copy_nothing_is_changed(small: Path) -> None:
    path = small / "agentd.db"
    restore(OLD[-1], path)
    with pytest.raises(StoreError, match=r"takes 17 MiB of free space, and .* has 0 MiB; it is left") as refused:
        Store(path)
    assert refused.value.hint == f"df -h {small}"
    assert look(path, newest_step) == OLD[-1].stem[-4:]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_in_which_no_copy_can_be_made_is_named(path: Path) -> None:
    restore(OLD[-1], path)
    db = connect(path)
    db.execute("DELETE FROM checksums")  # now its WAL is there
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="no backup of the database could be made"):
            migrate(db)
    finally:
        path.parent.chmod(0o700)
        db.close()


OPEN = """
import sys
from pathlib import Path
from agentd.store.database import Store
print("ready", flush=True)
sys.stdin.readline()
Store(Path(sys.argv[1])).close()
"""


def test_processes_that_open_an_old_database_at_once_make_one_copy(path: Path) -> None:
    restore(OLD[0], path)
    words = [sys.executable, "-c", OPEN, str(path)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    assert len(backups(path)) == 1
    assert sum(str(backups(path)[0]) in text for text in told) == 1, "one of them says where it is"


def test_a_later_database_is_refused_with_the_copy_from_before(path: Path) -> None:
    restore(OLD[-1], path)
    db = connect(path)
    migrate(db, datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('agentd', '9999_x', '')")
    db.close()
    with pytest.raises(NewerDatabase) as refused:
        Store(path)
    newest = RELEASED[-1].stem[-4:]
    told = str(refused.value)
    assert told.startswith(f"the database {path} was written by a later agentd (it has 9999_x, and this one knows")
    assert f"steps up to {newest}_" in told
    assert told.endswith(f"it is kept in {path.with_name('agentd-schema-0005-20260504T030201Z.db')}")


def never() -> bool:
    return False


def test_of_each_day_there_is_one_copy_and_the_newest_are_kept(db: Database, path: Path) -> None:
    first = date(2026, 12, 30)
    for day in range(5):
        made = back_up_day(path, first + timedelta(days=day), 3, never)
        assert made is not None
        assert back_up_day(path, first + timedelta(days=day), 3, never) is None
    names = [copy.name for copy in daily_backups(path)]
    assert names == [f"agentd-day-{day}.db" for day in ("20270103", "20270102", "20270101")]
    assert {copy.stat().st_mode & 0o777 for copy in daily_backups(path)} == {0o600}
    assert backups(path) == [], "those from before migrations are others"
    assert back_up_day(path, date(2027, 2, 1), 0, never) is None
    assert len(daily_backups(path)) == 3, "who wants no more may still want these"


def count_pairs(connection: sqlite3.Connection) -> tuple[int, int]:
    """Rows of the two kinds that are only ever written together."""
    pairs = (
        "SELECT count(*) FILTER (WHERE path GLOB '/f*'), count(*) FILTER (WHERE path GLOB '/s*') FROM checksums"
    )
    first, second = connection.execute(pairs).fetchone()
    return first, second


def test_a_daily_copy_is_of_one_moment_while_others_write(db: Database, path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        writer = connect(path)
        number = 0
        while not done.is_set():
            number += 1
            with transaction(writer):
                for table in ("first", "second"):
                    writer.execute("INSERT INTO checksums VALUES (?, 1, 2, 3, 'abc')", (f"/{table}-{number}",))
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for day in range(20):
            made = back_up_day(path, date(2026, 12, 1) + timedelta(days=day), 7, never)
            assert made is not None
            first, second = look(made, count_pairs)
            assert first == second
    finally:
        done.set()
        thread.join()
    assert first > 0


def test_a_daily_copy_of_a_damaged_database_is_none(path: Path) -> None:
    restore(OLD[-1], path)
    good = back_up_day(path, date(2026, 12, 1), 1, never)
    damage(path)
    with pytest.raises(StoreError, match=r"is damaged, and is not touched: .*jobs_by_source"):
        back_up_day(path, date(2026, 12, 2), 1, never)
    assert daily_backups(path) == [good]
    assert not list(path.parent.glob("*.part*"))


def test_a_daily_copy_that_is_given_up_leaves_nothing(db: Database, path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        back_up_day(path, date(2026, 12, 1), 7, lambda: True)
    assert sorted(file.name for file in path.parent.glob("*-day-*")) == []


def test_a_copy_that_lacks_rows_is_no_copy(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([{"jobs": 2}, {"jobs": 1}])
    monkeypatch.setattr("agentd.store.backup._count_rows", lambda connection: next(counts))
    with pytest.raises(StoreError, match="a backup of it lacks rows"):
        back_up_day(path, date(2026, 12, 1), 7, never)
    assert [file.name for file in path.parent.glob("*-day-*")] == []


def test_a_daily_copy_is_not_what_fills_a_disk(small: Path) -> None:
    path = small / "agentd.db"
    restore(OLD[-1], path)
    (small / "other").write_bytes(bytes(500 * 1024))
    with pytest.raises(StoreError, match=r"and .* has 0 MiB; there is none of today") as refused:
        back_up_day(path, date(2026, 12, 1), 7, never)
    assert refused.value.hint == f"df -h {small}"
    assert [file.name for file in small.glob("*-day-*")] == []


DIE = """
import os, sys
from pathlib import Path
import agentd.store.backup, agentd.store.database
from agentd.store.database import Store
from agentd.store.migrations import migrations
def die(*args):
    os._exit(9)
if sys.argv[2] == "copying":
    agentd.store.backup._to_disk = die
else:
    migrations.apply = die
Store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("moment", "copies"), [("copying", 1), ("migrating", 2)])
def test_an_agentd_that_dies_on_the_way_leaves_the_database_as_it_was(
    path: Path, moment: str, copies: int
) -> None:
    restore(OLD[-1], path)
    died = subprocess.run([sys.executable, "-c", DIE, str(path), moment], capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    assert look(path, dump) == OLD[-1].read_text("utf-8")
    left = backups(path)
    for copy in left:
        copy.rename(copy.with_name(copy.name.replace(copy.stem[-16:], "20260101T000000Z")))
    Store(path).close()
    assert look(path, newest_step) == RELEASED[-1].stem[-4:]
    assert len(backups(path)) == copies
    assert {look(copy, newest_step) for copy in backups(path)} == {OLD[-1].stem[-4:]}
    assert not list(path.parent.glob("*.part*"))
