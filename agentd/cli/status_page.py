"""The page that `agentd status` shows: a `StatusShape` becomes lines, each with its indent and its colours.

Pure, and quick to import: no rich here. A daemon of another version may leave keys out; their defaults stand here.
Where the status comes from, and how the page gets onto a terminal, `status` knows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from agentd.cli.text import (
    STYLES,
    Style,
    held_text,
    loaded_text,
    local_time,
    memory_text,
    printable,
    seconds_text,
    short_source,
    size_text,
    way_text,
)
from agentd.errors import AgentdError

# What a daemon of an earlier version does not say.
_DEFAULTS: dict[str, Any] = {
    **{
        "pid": None,
        "version": "",
        "ready": False,
        "started": None,
        "rss": None,
        "eta_seconds": None,
        "models": {},
        "jobs": {},
        "duties": {},
        "changes": {},
    },
    **dict.fromkeys(
        (
            *("problems", "queue", "last_errors", "waiting", "long", "watches", "logs", "schedules", "backfills"),
            "notices",
        ),
        (),
    ),
}
# … and of each model, duty and so on.
_OF_EACH: dict[str, dict[str, Any]] = {
    "models": {
        **{
            "path": "",
            "use": "text",
            "loaded": False,
            "state": "loaded",
            "held": False,
            "error": None,
            "load": None,
        },
        **{"description": "a model", "context": 0, "kv_cache": "", "gpu_layers": 0, "layers": 0, "vector": None},
        **{"cells": 0, "parallel": 1, "memory": (), "weights": "", "notes": (), "restarts": 0, "rss": None},
        **{"child_pid": None, "gave_way_to": None},
    },
    "duties": {"state": "running", "restarts": 0, "error": None},
    "watches": {"path": "", "task": "", "problem": None},
    "logs": {"source": "", "task": None, "lines": 0, "problems": ()},
    "schedules": {
        **{"name": "", "task": "", "when": "", "next": None, "overdue": False, "state": "waiting", "note": ""},
        "problem": None,
    },
    "queue": {"priority": "", "queued": 0, "running": 0, "eta_seconds": None},
    "long": {"id": 0, "task": "", "source": "", "progress": ""},
    "last_errors": {
        **{"id": 0, "task": "", "source": "", "state": "failed"},
        **{"finished": None, "error": None, "reason": None},
    },
    "backfills": {"id": 0, "task": "", "state": "running", "done": 0, "total": 0, "eta_seconds": None},
    "problems": {"key": "", "told": "", "hint": "agentd doctor"},
}
_DIM: Style = {"dim": True}
_RED: Style = {"fg": "red"}
_HINT: Style = {"fg": "cyan"}
_DUTIES: dict[str, Style] = {"running": {"fg": "green"}, "ended": _DIM}  # every other state is a bad one
_LEAST_ROOM = 8  # columns for words, however narrow the terminal
_REASON_LETTERS = 160  # of why a job was given up

Span = tuple[str, Style]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page, before it is folded."""

    indent: int
    spans: tuple[Span, ...]
    hang: int = 2  # how much further its folded parts are indented


def page(shape: Any, log: Path, now: datetime, width: int) -> list[str]:
    """The lines of the page, none wider than `width`."""
    shape = _filled(shape)
    return [text for section in SECTIONS for line in section(shape, log, now) for text in _folded(line, width)]


def _filled(shape: Any) -> Any:
    """The status with every key that the page reads."""
    filled = _DEFAULTS | shape
    for key, default in _OF_EACH.items():
        rows = filled[key]
        filled[key] = (
            {name: default | one for name, one in rows.items()}
            if isinstance(rows, dict)
            else [default | one for one in rows]
        )
    return filled


def told_error(error: AgentdError, width: int) -> list[str]:
    """What stands in place of the page where there is no status."""
    lines = [_line(0, ("error: ", _RED), error.message, hang=7), _line(0, f"next:  {error.hint}", hang=7)]
    return [text for line in lines for text in _folded(line, width)]


def _head(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    if shape["pid"] is None:
        yield _line(0, ("agentd", {"bold": True}), " is ", ("not running", _RED))
        return
    more = (
        [f"up {seconds_text((now - datetime.fromisoformat(shape['started'])).total_seconds())}"]
        if shape["started"]
        else []
    )
    more += [size_text(shape["rss"])] if shape["rss"] else []
    told = "".join(f", {one}" for one in more)
    yield _line(
        0, ("agentd", {"bold": True}), f" {shape['version']} is ", _state(shape), f" (pid {shape['pid']}{told})"
    )


def _problems(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    for problem in shape["problems"]:
        yield _line(2, ("✗ ", _RED), problem["told"])
        yield _line(4, "next: ", (problem["hint"], _HINT))


def _models(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    told = {problem["key"] for problem in shape["problems"]}
    yield from _title("models", shape["models"])
    for name, model in shape["models"].items():
        loaded = model["loaded"]
        yield _line(
            2, (f"{name:<8} ", {"bold": True}), loaded_text(model) if loaded else short_source(model["path"])
        )
        if loaded:
            for title, words in _details(model):
                yield _line(4, (f"{title:<8} ", _DIM), words, hang=9)
        elif shape["pid"] is not None and f"model {name}" not in told:
            yield _line(4, (_why_absent(name, model), {"fg": "red" if model["error"] else "yellow"}))


def _work(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    yield from _title("work", [1])
    counts = [(f"{n:,} {state}", STYLES[state]) for state, n in shape["jobs"].items() if n]
    left = f"; about {seconds_text(shape['eta_seconds'])} of work" if shape["eta_seconds"] else ""
    spans: list[Span | str] = ["jobs  "]
    for index, span in enumerate(counts):
        spans += [", ", span] if index else [span]
    yield _line(2, *spans, left if counts else "none yet", hang=6)
    for waiting in shape["queue"]:
        if waiting["queued"] or waiting["running"]:
            parts = [f"{waiting[key]:,} {key}" for key in ("running", "queued") if waiting[key]]
            eta = waiting["eta_seconds"]
            parts += [f"done in about {seconds_text(eta)}"] if eta else []
            yield _line(4, (f"{waiting['priority']:<12} ", _DIM), ", ".join(parts), hang=13)
    for waiting in shape["waiting"] or ():
        jobs = "1 job" if waiting["jobs"] == 1 else f"{waiting['jobs']:,} jobs"
        of = waiting["origin"] or waiting["priority"]
        yield _line(4, (f"{jobs} of {of}: {waiting['waits_for']}", {"fg": "yellow"}))
    for job in shape["long"]:
        yield _line(4, f"job {job['id']} {job['task']}: {job['progress']} of {short_source(job['source'])}")
    for backfill in shape["backfills"]:
        yield _line(2, f"backfill {backfill['id']} {backfill['task']}: {_backfill(backfill)}")
    if planned := shape["changes"].get("planned"):
        yield _line(2, f"changes {planned:,} planned: agentd changes list --state planned")


def _errors(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    yield from _title("last errors", shape["last_errors"])
    for job in shape["last_errors"]:
        when = local_time(job["finished"])[5:16] if job["finished"] else ""
        source = short_source(job["source"])
        why = " ".join(str(job["error"] or job["reason"] or "").split()).replace(job["source"], source)
        why = why if len(why) <= _REASON_LETTERS else f"{why[: _REASON_LETTERS - 1]}…"
        told = f" job {job['id']} {job['task']}: {why if source in why else f'{source}: {why}'}"
        yield _line(2, (f"{when} ", _DIM), (job["state"], STYLES[job["state"]]), told)
    for state in ("failed", "quarantined"):
        if shape["jobs"].get(state):
            yield _line(4, "next: ", (f"agentd jobs list --state {state}", _HINT))


def _sources(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    yield from _title("sources", [*shape["watches"], *shape["logs"]])
    told = {problem["key"] for problem in shape["problems"]}
    for watch in shape["watches"]:
        yield _line(2, f"watch {short_source(watch['path'])} → {watch['task']}", hang=6)
        if watch["problem"] and f"watch {watch['path']} → {watch['task']}" not in told:
            yield _line(4, (watch["problem"], _RED))
    for one in shape["logs"]:
        read = f", {one['lines']:,} lines read" if one["lines"] else ""
        task = f" → {one['task']}" if one["task"] else ""
        yield _line(2, f"follow {short_source(one['source'])}{task}{read}", hang=7)
        for problem in one["problems"] if f"log {one['source']}" not in told else ():
            yield _line(4, (problem, _RED))


def _schedules(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    yield from _title("schedules", shape["schedules"])
    told = {problem["key"] for problem in shape["problems"]}
    for one in shape["schedules"]:
        if one["overdue"]:
            coming = "as soon as the daemon runs"
        else:
            coming = f"next {local_time(one['next'])[:16]}" if one["next"] else "never again"
        at_work = f", {one['state']} now" if one["state"] in STYLES else ""
        task = f" → {one['task']}" if one["task"] != one["name"] else ""
        note = f"; last time {one['note']}" if one["note"] else ""
        yield _line(2, (f"{one['name']}{task} ", {"bold": True}), f"{one['when']}, {coming}{at_work}{note}")
        if one["problem"] and f"schedule {one['name']}" not in told:
            yield _line(4, (one["problem"], _RED))


def _duties(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    duties = shape["duties"]
    yield from _title("duties", duties)
    calm = [name for name, duty in duties.items() if not duty["restarts"] and duty["state"] in _DUTIES]
    if calm:
        yield _line(2, (f"{len(calm)} run: {', '.join(short_source(name) for name in calm)}", _DIM))
    for name, duty in duties.items():
        if name not in calm:
            state = duty["state"]
            times = f", started again {duty['restarts']} {'time' if duty['restarts'] == 1 else 'times'}"
            why = f": {duty['error']}" if duty["error"] else ""
            spans = (f"{name} ", (state, _DUTIES.get(state, _RED)), times if duty["restarts"] else "", why)
            yield _line(2, *spans)


def _notes(shape: Any, log: Path, now: datetime) -> Iterator[Line]:
    yield _line(0, "")
    for notice in shape["notices"]:
        yield _line(2, (f"note  {notice}", _DIM), hang=6)
    yield _line(2, (f"log   {log}", _DIM), hang=6)


# In the order in which they stand on the page.
SECTIONS: tuple[Callable[[Any, Path, datetime], Iterator[Line]], ...] = (
    *(_head, _problems, _models, _work, _errors, _sources, _schedules, _duties, _notes),
)


def _title(text: str, rows: Any) -> Iterator[Line]:
    """A section's name, where it has anything to tell."""
    if rows:
        yield _line(0, "")
        yield _line(0, (text, {"bold": True}))


def _backfill(backfill: Any) -> str:
    state = "" if backfill["state"] == "running" else f", {backfill['state']}"
    left = "" if backfill["eta_seconds"] is None else f", about {seconds_text(backfill['eta_seconds'])} of work"
    return f"{backfill['done']:,} of {backfill['total']:,} done{state}{left}"


def _state(shape: Any) -> Span:
    if shape["ready"]:
        return ("unwell", _RED) if shape["problems"] else ("ready", {"fg": "green"})
    if any(model["error"] for model in shape["models"].values()):
        return "not ready", _RED
    return "starting", {"fg": "yellow"}


def _why_absent(name: str, model: Any) -> str:
    if model["held"]:
        return f"unloaded, and {held_text(name, model)}"
    if model["gave_way_to"]:
        return f"unloaded: {way_text(model)}"
    if model["state"] == "unloaded":
        return "unloaded: it is loaded when it is needed"
    return str(model["error"] or model["state"])


def _details(model: Any) -> Iterator[tuple[str, str]]:
    """What a loaded model does, and what it takes."""
    load = model["load"]
    if load:
        yield "batch", _batch(load, model["parallel"], model["vector"])
    if load and model["cells"]:
        kept = f"{load['prefixes']} {'prefix' if load['prefixes'] == 1 else 'prefixes'} kept"
        kept += f", {load['evicted']} let go" if load["evicted"] else ""
        yield "cache", f"{load['cells_used']:,} of {model['cells']:,} tokens, {kept}"
    for device in model["memory"]:
        yield "memory", memory_text(device)
    if model["rss"]:
        again = f", started again {model['restarts']} times after crashes" if model["restarts"] else ""
        yield "process", f"pid {model['child_pid']}, {size_text(model['rss'])} resident{again}"
    if model["weights"]:
        yield "weights", model["weights"]
    for note in model["notes"]:
        yield "note", note


def _batch(load: Any, parallel: int, vector: int | None) -> str:
    if not load["running"] and not load["waiting"]:
        if vector:
            return "idle"
        return f"idle; {parallel} {'request' if parallel == 1 else 'requests'} at a time"
    paused = f" ({load['paused']} paused)" if load["paused"] else ""
    waiting = f", {load['waiting']} waiting" if load["waiting"] else ""
    threads = f"{load['threads']} {'thread' if load['threads'] == 1 else 'threads'}"
    speed = f"{load['tokens_a_second']:,.0f} tokens/s with {threads}"
    of = "" if vector else f" of {parallel}"
    return f"{load['running']}{of} running{paused}{waiting}, {speed}"


def _line(indent: int, *spans: Span | str, hang: int = 2) -> Line:
    styled = ((span, Style()) if isinstance(span, str) else span for span in spans)
    return Line(indent, tuple((printable(text).replace("\n", "↵"), style) for text, style in styled), hang)


def _folded(line: Line, width: int) -> Iterator[str]:
    """The line in pieces that fit, broken between words where that can be."""
    letters = [(letter, style) for text, style in line.spans for letter in text]
    indent, begin = line.indent, 0
    while len(letters) - begin > (room := max(width - indent, _LEAST_ROOM)):
        # The last blank that fits; a word longer than a line, such as a path, is cut.
        blanks = (at for at in range(begin + room, begin, -1) if letters[at][0] == " ")
        end = next(blanks, begin + room)
        yield _painted(indent, letters[begin:end])
        begin = end + (letters[end][0] == " ")
        indent = line.indent + min(line.hang, width // 5)
    yield _painted(indent, letters[begin:])


def _painted(indent: int, letters: Sequence[Span]) -> str:
    parts: list[tuple[str, Style]] = []
    for letter, style in letters:
        if parts and parts[-1][1] is style:
            parts[-1] = (parts[-1][0] + letter, style)
        else:
            parts.append((letter, style))
    return " " * indent + "".join(click.style(text, **style) if style else text for text, style in parts).rstrip()
