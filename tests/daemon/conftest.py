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

WriteNote = Callable[..., Path]


@pytest.fixture
async def agent(paths: Paths) -> AsyncIterator[Agent]:
    paths.config.write_text(CONFIG)
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
