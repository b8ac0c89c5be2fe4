"""Records for tests, with a default for everything that a test does not care about."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from agentd.records import Coverage, Document, Event, Passage, Priority, Result
from agentd.store.choices import StoredChoice

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


def make_choice(**given: Any) -> StoredChoice:
    values: dict[str, Any] = {
        "sha256": "ab" * 32,
        "machine": "AMD EPYC, 2 of 2 cores, 32 GiB",
        "build": "0.3.36-0123456789abcdef",
        "threads": 2,
        "batch": 256,
        "parallel": 16,
        "kv_cache_k": "f16",
        "kv_cache_v": "q8_0",
        "weights": "q8_0",
        "prompt_rate": 561.5,
        "decode_rate": 240.25,
        "gain": 2.125,
        "measured": "2026-05-04T03:02:01Z",
    }
    return StoredChoice(**values | given)
