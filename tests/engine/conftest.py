"""The real starter model, in this process and in a child."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentd.engine import schedule
from agentd.engine.client import EngineClient
from agentd.engine.local import LocalModel
from agentd.engine.settings import ModelSettings
from agentd.errors import EngineError
from agentd.model import Generation, Message, Request
from tests.waiting import wait_until

SMALL = ModelSettings(context=1024, threads=1)
FAKE = ModelSettings(path="fake")

Running = Callable[[ModelSettings], AbstractAsyncContextManager[EngineClient]]


@pytest.fixture(scope="session")
def model() -> LocalModel:
    """The starter model in this process; one thread, since two wait for each other on a busy machine."""
    return LocalModel(SMALL)


@contextlib.asynccontextmanager
async def running(settings: ModelSettings, folder: Path | None = None) -> AsyncIterator[EngineClient]:
    """A client whose duty runs for as long as the block, not necessarily with a model."""
    client = EngineClient("main", settings, folder=folder)
    life = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        life.cancel()
        await asyncio.wait({life})
        assert client.pid is None


@pytest.fixture
def whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step holds does not depend on how busy the machine is."""
    for seconds in ("STEP_SECONDS", "CALM_STEP_SECONDS"):
        monkeypatch.setattr(schedule, seconds, 1000.0)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restarts and watches without the patience of a daemon."""
    monkeypatch.setattr("agentd.engine.client.FIRST_BACKOFF", 0.01)
    monkeypatch.setattr("agentd.engine.client.WATCH_SECONDS", 0.05)
    monkeypatch.setattr("agentd.engine.client.SETTLE_SECONDS", 0.2)
    monkeypatch.setattr("agentd.engine.process.WATCH_SECONDS", 0.05)
    yield


class Clock:
    """The time as the watch over a child sees it: a slow machine is none that stands still."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def pass_stall(self) -> None:
        """From now on a second without progress is too long."""
        self._ahead += SMALL.stall - 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that a test can move on."""
    moved = Clock()
    monkeypatch.setattr("agentd.engine.process.time", moved)
    return moved


@pytest.fixture
async def client(fast: None) -> AsyncIterator[EngineClient]:
    """A client with the starter model loaded."""
    async with running(SMALL) as client:
        await client.wait_loaded()
        yield client


def ask(content: str, system: str = "You are brief.", **bounds: object) -> Request:
    """A request of two turns."""
    return Request((Message("system", system), Message("user", content)), **bounds)  # type: ignore[arg-type]


def generate(model: LocalModel, request: Request) -> Generation:
    """Run a request to its end, in this process; raises what it ended with."""
    (generation,) = generate_all(model, [request])
    return generation


def generate_all(model: LocalModel, requests: Sequence[Request]) -> list[Generation]:
    """Run requests beside each other to their ends; raises the first error."""
    done = dict[int, Generation]()
    for number, request in enumerate(requests):
        model.add(number, request)
    while model.busy:
        for news in model.step():
            if news.error:
                raise news.error
            if news.done:
                done[news.number] = news.done
    return [done[number] for number in range(len(requests))]


async def outcome(task: asyncio.Task[Generation]) -> Generation | EngineError:
    """What a request came to, as a value."""
    try:
        return await task
    except EngineError as error:
        return error


LONG = ask("Tell me a very long story about a river.", max_tokens=800)


async def begin(client: EngineClient, request: Request = LONG) -> asyncio.Task[Generation]:
    """A request that the child is in the middle of."""
    said: list[str] = []
    task = asyncio.create_task(client.generate(request, said.append))
    await wait_until(lambda: len(said) > 2 or task.done(), what="the first words")
    assert not task.done()
    return task
