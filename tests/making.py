"""Records for tests, with a default for everything that a test does not care about."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from agentd.records import Coverage, Document, Event, Passage, Priority, Result

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_event(source: str = "/notes/a.md", text: str = "a", **given: Any) -> Event:
    values: dict[str, Any] = {"task": "tag", "content": sha(text), "priority": Priority.TRIGGERED}
    return Event(source=source, **values | given)


def make_document(text: str = "a", source: str = "/notes/a.md") -> Document:
    lines = text.splitlines() or [""]
    passages = tuple(Passage(number, line) for number, line in enumerate(lines, start=1))
    return Document(source=source, content=sha(text), text=text, kind="markdown", passages=passages)


def make_result(output: dict[str, Any] | None = None, **given: Any) -> Result:
    values: dict[str, Any] = {
        "output": output or {"title": "Pears", "tags": ["garden"]},
        "coverage": Coverage(1, 1),
        "model": "m.gguf (abc)",
        "kv_cache": "q8_0/q8_0",
        "fake": False,
        "tokens_in": 10,
        "tokens_cached": 4,
        "tokens_out": 5,
        "seconds": 1.5,
        "engine_seconds": 0.25,
        "probabilities": {"kind": {"note": 0.75, "list": 0.25}},
    }
    return Result(**values | given)
