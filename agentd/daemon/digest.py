"""What a schedule puts together for its task: results and findings since its last run, or the files of a folder.

Bounded, and plain text: what documents and models said stands in it as data, one line each.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agentd.errors import InputError
from agentd.inert import one_line
from agentd.records import (
    Document,
    Priority,
    bundle_source,
    folder_of,
    is_bundle,
    is_file,
    path_of,
    schedule_source,
)
from agentd.store import schedules
from agentd.store.bundles import MOST_FILES, Member
from agentd.store.database import Database
from agentd.store.findings import StoredFinding
from agentd.store.results import StoredResult
from agentd.store.schedules import Bundle, Marks
from agentd.triggers.schedule_settings import FolderInput, ScheduleSettings
from agentd.triggers.sighting import Selection, inspect

MOST_RESULTS = 200
MOST_FINDINGS = 50
MOST_LETTERS = 400  # of one result or finding


def compose_text(
    db: Database, schedule: ScheduleSettings, marks: Marks, since: str | None, shown: datetime
) -> Document | None:
    """The input of a schedule as of the moment `shown`; None where it wants news and there is none."""
    lines = [f"It is {shown:%A, %d %B %Y, %H:%M}."]
    materials = schedule.materials
    if since and materials:
        lines.append(
            f"The last run was on {datetime.fromisoformat(since).astimezone(shown.tzinfo):%A, %d %B, %H:%M}."
        )
    news = 0
    if "results" in materials:
        count, found = schedules.results_since(db, marks, schedule.task, MOST_RESULTS)
        news += count
        lines += _section("Results", count, [_result_line(one) for one in found])
    if "findings" in materials:
        count, worst = schedules.findings_since(db, marks, MOST_FINDINGS)
        news += count
        lines += _section("Findings in logs, the worst first", count, [_finding_line(one) for one in worst])
    if materials and not news:
        return None
    text = "\n".join(lines) + "\n"
    content = hashlib.sha256(text.encode()).hexdigest()
    return Document(schedule_source(schedule.title, f"{shown:%Y-%m-%d %H:%M}"), content, text)


def find_files(schedule: ScheduleSettings, given: FolderInput) -> Bundle | None:
    """The files of a folder as they are now, at most as many as one job may have; None where there are none.

    Plain blocking file access. Raises `InputError` where the folder cannot be listed.
    """
    watch = given.selection(schedule.task)
    sightings = []
    try:
        sightings = sorted(Selection(watch).walk([]), key=lambda one: one.source)[:MOST_FILES]
    except OSError as broken:
        raise InputError(
            f"{given.folder} cannot be listed: {broken.strerror or broken}", hint=f"ls -ld '{given.folder}'"
        ) from broken
    taken = [inspect(one, watch, Priority.TRIGGERED, wanted=True) for one in sightings]
    members = [Member(one.event.source, one.event.content) for one in taken if one and not one.event.refusal]
    return Bundle(lambda content: bundle_source(watch.path, content), members) if members else None


def _section(title: str, count: int, lines: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"{title}: {count:,}" + (f", of which these {len(lines):,}" if count > len(lines) else "")
    yield from (f"- {line}" for line in lines)


def _result_line(stored: StoredResult) -> str:
    said = "; ".join(f"{name}: {_said(value)}" for name, value in stored.result.output.items())
    return _short(f"{stored.task} of {_short_source(stored.source)}: {said}")


def _finding_line(one: StoredFinding) -> str:
    times = "once" if one.count == 1 else f"{one.count:,} times"
    act = f" Next: {one.action}" if one.action else ""
    return _short(f"{one.severity} in {_short_source(one.source)}, {times}: {one.summary or one.pattern}{act}")


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 1]}…"


def _short_source(source: str) -> str:
    if is_bundle(source):
        return f"files in {folder_of(source).name}"
    if not is_file(source):
        return source
    path: Path = path_of(source)
    return f"{path.parent.name}/{path.name}" if path.is_absolute() else source


def _said(value: Any) -> str:
    """A value in a few words; of what was found in a document, what it comes to."""
    match value:
        case None:
            return "none"
        case list():
            return ", ".join(map(_said, value)) or "none"
        case {"value": found, "quote": _}:
            return str(found)
        case dict():
            return " – ".join(
                _said(inner) for name, inner in value.items() if name not in ("quote", "where", "line")
            )
    return str(value)
