"""Choices: how each model runs best on each machine, as it was measured there."""

from dataclasses import asdict, dataclass, fields

from sqlite_utils import Database


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """One row: what was measured of one file, on one machine, with one llama.cpp."""

    sha256: str
    machine: str
    build: str
    threads: int
    batch: int
    parallel: int
    kv_cache_k: str
    kv_cache_v: str
    weights: str
    prompt_rate: float
    decode_rate: float
    gain: float
    measured: str


def get(db: Database, sha256: str, machine: str) -> StoredChoice | None:
    """What was measured of this file on this machine, if anything was."""
    columns = ", ".join(column.name for column in fields(StoredChoice))
    rows = db.query(f"SELECT {columns} FROM choices WHERE sha256 = ? AND machine = ?", [sha256, machine])
    return next((StoredChoice(**row) for row in rows), None)


def put(db: Database, choice: StoredChoice) -> None:
    """Store a choice, in place of an earlier one."""
    row = asdict(choice)
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT OR REPLACE INTO choices ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def forget(db: Database, sha256: str, machine: str) -> None:
    """Delete what was measured of this file on this machine, if anything was."""
    db.execute("DELETE FROM choices WHERE sha256 = ? AND machine = ?", [sha256, machine])
