"""Task files on disk, and a model that says what it was told to."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.records import Document
from agentd.tasks.definition import Task, read_task

VOCABULARIES = {"tags": {"sql": "databases", "home": ""}}
HEADER = """\
name: tag
description: Tag a note
output:
  title: {type: string, maxLength: 40}
  tags: {type: array, items: {vocabulary: tags}, maxItems: 2}
max_tokens: 100
"""

ReadTask = Callable[..., Task]


def task_text(header: str = HEADER, instructions: str = "You tag notes.") -> str:
    return f"---\n{header}---\n{instructions}\n"


@pytest.fixture
def read() -> ReadTask:
    """Read a task from its text."""

    def read(header: str = HEADER, instructions: str = "You tag notes.", **vocabularies: dict[str, str]) -> Task:
        return read_task(task_text(header, instructions), Path("tag.md"), vocabularies or VOCABULARIES)

    return read


def document(text: str, kind: str = "markdown") -> Document:
    """A document that was read from a note."""
    return Document("/notes/a.md", hashlib.sha256(text.encode()).hexdigest(), text, kind)
