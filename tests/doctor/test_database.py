import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.doctor.database import check_database, check_sqlite
from agentd.errors import StoreError
from agentd.store.database import Store, connect
from agentd.store.inspect import Inspection, inspect, reading
from tests.doctor.conftest import FindHome, told
from tests.store.test_migrations import RELEASED, restore


@pytest.mark.parametrize(("version", "level"), [((3, 40, 1), "warning"), ((3, 51, 3), "ok"), ((4, 0, 0), "ok")])
def test_an_old_sqlite_is_a_warning(
    find: FindHome, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], level: str
) -> None:
    monkeypatch.setattr("agentd.doctor.database.sqlite_version", lambda: version)
    assert told(check_sqlite(find()))["SQLite"][0] == level


def test_a_database_that_is_whole_and_of_today_is_told_by_its_size_and_schema(find: FindHome) -> None:
    home = find()
    assert told(check_database(home)) == {"database": ("ok", "is made at the first start", "")}
    Store(home.paths.database).close()
    home.paths.database.chmod(0o600)
    found = told(check_database(home))
    assert found["database"][0] == "ok"
    assert found["database"][1].endswith("MiB, whole")
    assert found["schema"] == ("ok", "0006_service", "")


def test_a_database_that_others_may_read_is_a_warning(find: FindHome) -> None:
    home = find()
    Store(home.paths.database).close()
    home.paths.database.chmod(0o600)
    assert told(check_database(home))["database"][0] == "ok"
    home.paths.database.chmod(0o644)
    assert told(check_database(home))["database"] == (
        "warning",
        "others may read what was read (mode 0644, not 0600)",
        f"chmod 600 {home.paths.database}",
    )


def test_an_older_schema_is_a_warning_and_a_newer_one_an_error(find: FindHome) -> None:
    home = find()
    restore(RELEASED[0], home.paths.database)
    level, words, _ = told(check_database(home))["schema"]
    assert (level, words) == (
        "warning",
        "is of an earlier agentd (0001), and is brought up to date with a copy of it first",
    )
    Store(home.paths.database).close()
    db = connect(home.paths.database)
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('agentd', '9999_x', '')")
    db.close()
    level, words, hint = told(check_database(home))["schema"]
    assert (level, hint) == ("error", "agentd --version")
    assert "it has 9999_x" in words
    assert "agentd-schema-0001-" in words, "the copy from before is named"


def test_a_damaged_database_is_an_error_with_the_way_to_save_what_is_left(find: FindHome) -> None:
    home = find()
    Store(home.paths.database).close()
    connection = sqlite3.connect(home.paths.database)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with home.paths.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    level, words, hint = told(check_database(home))["database"]
    assert (level, f"{home.paths.database} is damaged: " in words) == ("error", True)
    assert hint.startswith("agentd stop; sqlite3 ")


def test_rows_that_point_nowhere_are_an_error(find: FindHome) -> None:
    home = find()
    Store(home.paths.database).close()
    connection = sqlite3.connect(home.paths.database)
    connection.execute("INSERT INTO passages (content, line, text) VALUES ('gone', 1, 'x')")
    connection.commit()
    connection.close()
    found = told(check_database(home))["database"]
    assert found[:2] == ("error", "rows that name another one which is not there: 1")


def test_a_look_that_takes_too_long_is_ended_and_said(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home = find()
    Store(home.paths.database).close()
    home.paths.database.chmod(0o600)
    monkeypatch.setattr("agentd.store.inspect._STEPS", 1)
    assert inspect(home.paths.database, -1.0).unfinished
    monkeypatch.setattr("agentd.doctor.database._SECONDS", -1.0)
    assert told(check_database(home))["database"][0] == "warning"


def test_another_programs_database_is_refused(find: FindHome) -> None:
    home = find()
    connection = sqlite3.connect(home.paths.database)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    level, words, _ = told(check_database(home))["database"]
    assert level == "error"
    assert "but not agentd's" in words


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_looking_leaves_no_file_behind_and_changes_none(find: FindHome) -> None:
    home = find()
    Store(home.paths.database).close()
    before, raw = files(home.paths.database.parent), home.paths.database.read_bytes()
    inspect(home.paths.database, 30.0)
    assert (files(home.paths.database.parent), home.paths.database.read_bytes()) == (before, raw)


def test_what_a_running_daemon_has_just_written_is_seen(find: FindHome) -> None:
    home = find()
    store = Store(home.paths.database)
    store._db.execute("INSERT INTO checksums VALUES ('/m', 1, 2, 3, 'abc')")
    try:
        with reading(home.paths.database) as db:
            assert next(iter(db.query("SELECT sha256 FROM checksums")))["sha256"] == "abc"
        with pytest.raises(StoreError, match="readonly"), reading(home.paths.database) as db:
            db.execute("DELETE FROM checksums")
    finally:
        store.close()


def test_what_was_written_during_the_look_is_no_damage(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home = find()
    Store(home.paths.database).close()
    whole = inspect(home.paths.database, 30.0)
    looks = []

    def look(path: Path, seconds: float) -> Inspection:
        looks.append(path)
        if len(looks) == 1:  # a command opened it just now, and what it wrote was read in two states
            Store(path).close()
            os.utime(path, ns=(1, 1))
            return replace(whole, damage=("row 1 missing from an index",))
        return whole

    monkeypatch.setattr("agentd.store.inspect._inspect", look)
    assert inspect(home.paths.database, 30.0).damage == ()
    assert len(looks) == 2
