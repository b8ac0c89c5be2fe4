"""The journal of changes: what was planned, what was done to which bytes, what was taken back.

Before a file is touched, its bytes and the sha256 of what it will be are committed here; afterwards, that it is
done. So a death at any moment leaves a row that says what to look for. The effects themselves are not known here.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from agentd.errors import AgentdError, ChangedSince, ChangeError, NotFound, NotUndoable, Superseded
from agentd.records import Change, ChangeState, Plan, path_of, source_of, timestamp
from agentd.store import retry

_COLUMNS = ", ".join(field.name for field in fields(Change))
MOVING = ("move", "rename")  # kinds after which the file has another path
FILING = (*MOVING, "copy")
WRITING = ("frontmatter", "sidecar", "append")  # kinds that make the bytes of a file
CALLING = ("webhook", "command", "notify")  # kinds that cannot be taken back
# The file of a change is ?1; in two halves, each of which has an index.
_AT = "(target = ?1 OR (target IS NULL AND path = ?1))"
_OPEN = (ChangeState.APPLYING, ChangeState.UNDOING)


def plan(
    db: Database, plans: Sequence[Plan], *, result_id: int, task: str, source: str, content: str, now: datetime
) -> list[int]:
    """Add what a result would do. What an older result of the task planned for the same input is superseded."""
    stamp = timestamp(now)
    db.execute(
        "UPDATE changes SET state = 'superseded', reason = 'superseded', error = 'a newer result takes its place' "
        "WHERE task = ? AND source = ? AND state = 'planned' AND result_id != ?",
        [task, source, result_id],
    )
    added = []
    for one in plans:
        rows = db.query(
            "INSERT INTO changes (result_id, task, source, kind, path, details, state, auto, content, created, "
            "not_before, attempts) VALUES (?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, 0) RETURNING id",
            [
                *(result_id, task, source, one.kind, one.path),
                *(json.dumps(one.details, ensure_ascii=False), int(one.auto), content, stamp, stamp),
            ],
        )
        added.append(int(next(iter(rows))["id"]))
    return added


def get(db: Database, change_id: int) -> Change:
    """One change; raises `NotFound`."""
    rows = list(db.query(f"SELECT {_COLUMNS} FROM changes WHERE id = ?", [change_id]))
    if not rows:
        raise NotFound(f"there is no change {change_id}", hint="agentd changes list")
    return _change(rows[0])


def find(
    db: Database,
    *,
    states: Sequence[ChangeState] = (),
    ids: Sequence[int] | None = None,
    job_id: int | None = None,
    since: datetime | None = None,
    limit: int | None = 50,
) -> list[Change]:
    """Changes, newest first, that match every filter given."""
    tests, values = ["1"], list[Any]()
    if states:
        tests, values = [*tests, "state IN (SELECT value FROM json_each(?))"], [*values, json.dumps(list(states))]
    if ids is not None:
        tests, values = [*tests, "id IN (SELECT value FROM json_each(?))"], [*values, json.dumps(list(ids))]
    if job_id is not None:
        tests, values = [*tests, "result_id IN (SELECT id FROM results WHERE job_id = ?)"], [*values, job_id]
    if since is not None:
        # What was done since then counts by when it was done.
        tests, values = [*tests, "coalesce(applied, created) >= ?"], [*values, timestamp(since)]
    sql = f"SELECT {_COLUMNS} FROM changes WHERE {' AND '.join(tests)} ORDER BY id DESC LIMIT ?"
    return [_change(row) for row in db.query(sql, [*values, -1 if limit is None else limit])]


def due(db: Database, kinds: Sequence[str], now: datetime, limit: int) -> list[Change]:
    """Changes of these kinds to be applied without being asked whose time has come, oldest first."""
    rows = db.query(
        f"SELECT {_COLUMNS} FROM changes WHERE state = 'planned' AND auto AND not_before <= ? "
        f"AND kind IN ({_names(kinds)}) ORDER BY id LIMIT ?",
        [timestamp(now), limit],
    )
    return [_change(row) for row in rows]


def clock_went_back(db: Database, now: datetime, *, beyond: timedelta = timedelta(0)) -> None:
    """Let changes that wait for their time be tried now, as `queue.clock_went_back` does with jobs."""
    db.execute(
        "UPDATE changes SET not_before = ? WHERE state = 'planned' AND not_before > ?",
        [timestamp(now), timestamp(now + beyond)],
    )


def begun(db: Database, kinds: Sequence[str]) -> list[Change]:
    """Changes of these kinds in which a death happened: they are to be taken up again, oldest first."""
    return [change for change in find(db, states=_OPEN, limit=None) if change.kind in kinds][::-1]


def begin(
    db: Database,
    change_id: int,
    *,
    target: str | None,
    before: bytes | None,
    before_digest: str | None,
    after: str | None,
    mtime_ns: int | None,
) -> Change:
    """Note what is about to be done; `before` are the bytes that an undo needs. Raises `ChangeError`."""
    check_appliable(get(db, change_id))
    if before is not None and before_digest is not None:
        db.execute(
            "INSERT INTO contents (sha256, raw) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [before_digest, zlib.compress(before)],
        )
    db.execute(
        "UPDATE changes SET state = 'applying', target = ?, before = ?, after = ?, mtime_ns = ?, "
        "attempts = attempts + 1, reason = NULL, error = NULL, hint = NULL WHERE id = ?",
        [target, before_digest, after, mtime_ns, change_id],
    )
    return get(db, change_id)


def check_appliable(change: Change) -> None:
    """Raise `ChangeError` for a change that was made, or that something else has taken the place of."""
    if change.state is ChangeState.APPLIED:
        raise ChangeError(f"change {change.id} is applied already")
    if change.state in (ChangeState.APPLYING, ChangeState.UNDOING, ChangeState.SUPERSEDED):
        raise ChangeError(f"change {change.id} is {change.state}: it cannot be applied")


def finish(db: Database, change_id: int, now: datetime) -> None:
    """Note that it is done. What moved is known by its new place from now on."""
    db.execute(
        "UPDATE changes SET state = 'applied', applied = ?, undone = NULL WHERE id = ?",
        [timestamp(now), change_id],
    )
    change = get(db, change_id)
    if change.kind in MOVING and change.target:
        _moved(db, change.path, change.target)


def begin_undo(db: Database, change_id: int, left: str | None) -> Change:
    """Note that a change is about to be taken back, and the sha256 of what it left; raises `NotUndoable`."""
    change = get(db, change_id)
    if change.state is not ChangeState.APPLIED:
        raise NotUndoable(f"change {change_id} is {change.state}: only applied ones can be undone")
    db.execute("UPDATE changes SET state = 'undoing', after = ? WHERE id = ?", [left, change_id])
    return get(db, change_id)


def finish_undo(db: Database, change_id: int, now: datetime) -> None:
    """Note that it is taken back."""
    db.execute("UPDATE changes SET state = 'undone', undone = ? WHERE id = ?", [timestamp(now), change_id])
    change = get(db, change_id)
    if change.kind in MOVING and change.target:
        _moved(db, change.target, change.path)


def keep_applied(db: Database, change_id: int, error: AgentdError) -> None:
    """Note that a change could not be taken back and stays."""
    _end(db, change_id, ChangeState.APPLIED, error)


def refuse(db: Database, change_id: int) -> Change:
    """End a change that a person does not want; raises `ChangeError`."""
    change = get(db, change_id)
    if change.state not in (ChangeState.PLANNED, ChangeState.FAILED):
        raise ChangeError(f"change {change_id} is {change.state}: only planned ones can be refused")
    db.execute("UPDATE changes SET state = 'refused' WHERE id = ?", [change_id])
    return get(db, change_id)


def fail(db: Database, change: Change, error: AgentdError, now: datetime, chance: float) -> ChangeState:
    """Note why a change could not be made: tried again later, superseded, or failed."""
    tries = change.attempts + (change.state is not ChangeState.APPLYING)
    if error.retryable and tries < retry.MAX_ATTEMPTS:
        due_at = timestamp(now + timedelta(seconds=retry.backoff(tries, chance)))
        _end(db, change.id, ChangeState.PLANNED, error)
        db.execute("UPDATE changes SET not_before = ?, attempts = ? WHERE id = ?", [due_at, tries, change.id])
        return ChangeState.PLANNED
    state = ChangeState.SUPERSEDED if isinstance(error, (ChangedSince, Superseded)) else ChangeState.FAILED
    _end(db, change.id, state, error)
    return state


def expected(db: Database, change: Change) -> list[str]:
    """What the sha256 of a change's file may be now: as it was planned for, or as other changes of ours, made
    since, left that.
    """
    rows = db.query(
        f"SELECT before, after FROM changes WHERE {_AT} AND state = 'applied' AND before IS NOT NULL "
        "ORDER BY applied, id",
        [change.path],
    )
    digests = [change.content]
    for row in rows:
        if row["before"] == digests[-1] != row["after"]:
            digests.append(row["after"])
    return digests


def above(db: Database, change: Change) -> list[int]:
    """The changes that were made on top of one, in the same file, newest first: they must be undone before it."""
    rows = db.query(
        f"SELECT id FROM changes WHERE {_AT} AND state = 'applied' AND kind IN ({_names(WRITING)}) "
        "AND (applied, id) > (?2, ?3) ORDER BY applied DESC, id DESC",
        [place_of(change), change.applied, change.id],
    )
    return [int(row["id"]) for row in rows]


def place_of(change: Change) -> str:
    """Where the file of a change is, once it was made."""
    return change.target or change.path


def content(db: Database, digest: str) -> bytes:
    """The bytes that were kept; raises `NotUndoable` where they are not there any more."""
    for row in db.query("SELECT raw FROM contents WHERE sha256 = ?", [digest]):
        return zlib.decompress(row["raw"])
    raise NotUndoable("the bytes from before are not kept any more")


def is_own(db: Database, source: str, content: str) -> bool:
    """Whether a file stands there as a change of ours left it, or as an undo of ours did."""
    rows = db.query(
        f"SELECT 1 FROM changes WHERE {_AT} AND after = ?2 AND state IN ('applying', 'applied', 'undoing') "
        # What is taken back is where it was made, but for a file that moved.
        f"UNION ALL SELECT 1 FROM changes WHERE {_AT} AND before = ?2 AND state IN ('undoing', 'undone') "
        f"AND kind NOT IN ({_names(MOVING)}) "
        "UNION ALL SELECT 1 FROM changes WHERE path = ?1 AND after = ?2 AND state IN ('undoing', 'undone') "
        f"AND kind IN ({_names(MOVING)}) LIMIT 1",
        [source, content],
    )
    return any(True for _ in rows)


def has_sidecar_at(db: Database, source: str) -> bool:
    """Whether a file stands where a change of ours put a sidecar: that is no document, whoever edits it."""
    rows = db.query(
        "SELECT 1 FROM changes WHERE target = ? AND kind = 'sidecar' "
        "AND state IN ('applying', 'applied', 'undoing') LIMIT 1",
        [source],
    )
    return any(True for _ in rows)


def is_sidecar(db: Database, change: Change, source: str, content: str) -> bool:
    """Whether a file is a sidecar that the task of a change gave the same document, as it left it."""
    rows = db.query(
        f"SELECT 1 FROM changes WHERE {_AT} AND after = ?2 AND kind = 'sidecar' AND task = ?3 AND path = ?4 "
        "AND state IN ('applying', 'applied') "
        f"UNION ALL SELECT 1 FROM changes WHERE {_AT} AND before = ?2 AND kind = 'sidecar' AND task = ?3 "
        "AND path = ?4 AND state = 'undone' LIMIT 1",
        [source, content, change.task, change.path],
    )
    return any(True for _ in rows)


def given(db: Database, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What changes gave the front matter of a file, by key: as it stands, and as a person declined it."""
    ours: dict[str, Any] = {}
    declined: dict[str, Any] = {}
    rows = db.query(
        "SELECT details, state FROM changes WHERE path = ? AND kind = 'frontmatter' "
        "AND state IN ('applied', 'undone', 'refused') ORDER BY id",
        [source],
    )
    for row in rows:
        values = json.loads(row["details"])["set"]
        (ours if row["state"] == ChangeState.APPLIED else declined).update(values)
    return ours, declined


def unwanted(db: Database, source: str) -> list[tuple[str, dict[str, Any]]]:
    """What a person refused or undid to a file, or beside it: kinds and details."""
    rows = db.query(
        "SELECT kind, details FROM changes WHERE path = ? AND state IN ('undone', 'refused') "
        f"AND kind NOT IN ({_names(CALLING)}) ORDER BY id",
        [source],
    )
    return [(row["kind"], json.loads(row["details"])) for row in rows]


def unattended(db: Database, sources: Sequence[str]) -> dict[str, str]:
    """Files whose front matter is as a change left it that nobody was asked about: sha256 by source."""
    rows = db.query(
        "SELECT path, after FROM changes WHERE kind = 'frontmatter' AND auto AND state = 'applied' "
        "AND path IN (SELECT value FROM json_each(?)) ORDER BY id",
        [json.dumps(list(sources))],
    )
    return {row["path"]: row["after"] for row in rows}


def count_states(db: Database) -> dict[ChangeState, int]:
    """How many changes there are in each state."""
    found = {row["state"]: row["n"] for row in db.query("SELECT state, count(*) AS n FROM changes GROUP BY state")}
    return {state: found.get(state, 0) for state in ChangeState}


def follow(db: Database, old: str, new: str) -> None:
    """Let what is planned for a file, and what became of its front matter, follow it to another place."""
    open_states = "('planned', 'failed')"
    rows = db.query(
        f"SELECT id, kind, details FROM changes WHERE path = ? AND state IN {open_states} "
        "AND kind IN ('sidecar', 'rename')",
        [old],
    )
    for row in list(rows):
        # What is beside the file is beside it still.
        details = json.loads(row["details"])
        name, stem = path_of(details["to"]).name, path_of(old).stem
        if row["kind"] == "sidecar":
            name = path_of(new).stem + name.removeprefix(stem)
        details["to"] = source_of(path_of(new).with_name(name))
        db.execute(
            "UPDATE changes SET details = ? WHERE id = ?", [json.dumps(details, ensure_ascii=False), row["id"]]
        )
    db.execute(
        f"UPDATE changes SET path = ? WHERE path = ? AND (state IN {open_states} OR kind = 'frontmatter')",
        [new, old],
    )
    db.execute(f"UPDATE changes SET source = ? WHERE source = ? AND state IN {open_states}", [new, old])


def _moved(db: Database, old: str, new: str) -> None:
    """Let results, and changes, follow a file."""
    db.execute("UPDATE OR IGNORE jobs SET source = ? WHERE source = ?", [new, old])
    db.execute("UPDATE results SET source = ? WHERE source = ?", [new, old])
    follow(db, old, new)


def _names(kinds: Sequence[str]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


def _end(db: Database, change_id: int, state: ChangeState, error: AgentdError) -> None:
    db.execute(
        "UPDATE changes SET state = ?, reason = ?, error = ?, hint = ? WHERE id = ?",
        [state, error.code, error.message, error.hint, change_id],
    )


def _change(row: dict[str, Any]) -> Change:
    values = row | {
        "details": json.loads(row["details"]),
        "state": ChangeState(row["state"]),
        "auto": bool(row["auto"]),
    }
    return Change(**values)
