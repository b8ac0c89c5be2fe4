"""The parts of long documents that are done, while their job is not: an interrupted job goes on from them."""

import json
from dataclasses import asdict
from typing import Any

from sqlite_utils import Database

from agentd.model import Generation


def load(db: Database, job_id: int, key: str) -> tuple[dict[str, Any], int, Generation] | None:
    """What was kept under a key: the output, the tokens it stands for, and what the model did for it."""
    rows = db.query("SELECT output, tokens, generation FROM parts WHERE job_id = ? AND key = ?", [job_id, key])
    for row in rows:
        return json.loads(row["output"]), row["tokens"], Generation(**json.loads(row["generation"]))
    return None


def save(db: Database, job_id: int, key: str, output: dict[str, Any], tokens: int, generation: Generation) -> None:
    """Keep what is done of a job."""
    db.execute(
        "INSERT OR REPLACE INTO parts (job_id, key, output, tokens, generation) VALUES (?, ?, ?, ?, ?)",
        [job_id, key, json.dumps(output, ensure_ascii=False), tokens, json.dumps(asdict(generation))],
    )


def tell(db: Database, job_id: int, progress: str) -> None:
    """Note how far a job is."""
    db.execute("UPDATE jobs SET progress = ? WHERE id = ?", [progress, job_id])


def forget(db: Database, job_id: int) -> None:
    """Drop the parts of a job that is done."""
    db.execute("DELETE FROM parts WHERE job_id = ?", [job_id])
