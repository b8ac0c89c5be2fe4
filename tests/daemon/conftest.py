"""An opened home whose model is scripted."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from agentd.daemon.agent import Agent, open_agent
from agentd.paths import Paths
from tests.daemon.scripted import ScriptedEngine

CONFIG = """\
models:
  main: {path: fake}
  big: {path: fake}
vocabularies:
  tags: [python, garden, kitchen]
"""

# The shipped task of this name chooses by evidence; what is tested here is how any answer travels.
TASK = """\
---
name: note-tagging
description: Title and tags of a note
reads: [markdown, text]
output:
  title: {type: string, maxLength: 80}
  tags: {type: array, items: {vocabulary: tags}, minItems: 1, maxItems: 3}
max_tokens: 128
---
You tag notes.
"""

WriteNote = Callable[..., Path]


@pytest.fixture
async def agent(paths: Paths) -> AsyncIterator[Agent]:
    paths.config.write_text(CONFIG)
    paths.make_folders()
    (paths.tasks / "note-tagging.md").write_text(TASK)
    async with open_agent(paths) as opened:
        for name in ("main", "big"):
            opened.engines[name] = ScriptedEngine(name)  # type: ignore[assignment]
        yield opened
        assert not any(engine.unexpected for engine in opened.engines.values())  # type: ignore[attr-defined]


@pytest.fixture
def engine(agent: Agent) -> ScriptedEngine:
    return agent.engines["main"]  # type: ignore[return-value]


@pytest.fixture
def write_note(tmp_path: Path) -> Iterator[WriteNote]:
    def write(name: str = "pears.md", text: str = "# Pears\n\nPrune the pear tree.\n") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    yield write
