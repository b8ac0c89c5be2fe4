"""A real server on a real socket, with a scripted daemon behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentd.api.app import AskBody, Parts, RenderBody, RunBody, create_app
from agentd.api.server import Server, bound_socket
from agentd.errors import AgentdError, EngineCrashed, NotFound, UnknownTask
from agentd.paths import Paths
from tests.waiting import wait_until

MODELS = {"main": {"state": "loaded"}, "a/ä b": {"state": "unloaded"}}
PART = 100_000  # bytes of each part of a stream that never ends


class ScriptedDaemon:
    """Says what it was told to say, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.begun = asyncio.Event()  # a stream that says nothing for long
        self.closed = asyncio.Event()  # a stream came to its end, one way or another
        self.given = 0  # parts of a stream that never ends

    async def run(self, body: RunBody) -> Parts:
        self.asked.append(body)
        if body.task == "unknown":
            raise UnknownTask("there is no task `unknown`")
        if body.task == "slow":
            try:
                self.begun.set()
                await asyncio.Event().wait()
            finally:
                self.closed.set()
        yield {"type": "added", "jobs": [1]}
        if body.task == "crash":
            raise EngineCrashed("the engine died", hint="agentd status")
        if body.task == "mistake":
            raise ZeroDivisionError("division by zero")
        yield {"type": "job", "job": {"source": "café"}}

    async def ask(self, body: AskBody) -> Parts:
        try:
            yield {"type": "text", "text": "one"}
            while body.question == "everything?":
                self.given += 1
                await asyncio.sleep(0)
                yield {"type": "text", "text": "x" * PART}
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def render(self, body: RenderBody) -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    async def retry(self, job_id: int) -> Any:
        raise NotFound(f"there is no job {job_id}", hint="agentd jobs list")

    async def cancel(self, job_id: int) -> Any:
        raise AgentdError(f"job {job_id} is already done")

    async def rerun_stale(self) -> list[int]:
        return [7]

    async def read_again(self) -> list[str]:
        return ["watch"]

    async def load_model(self, name: str) -> None:
        if name not in MODELS:
            raise NotFound(f"there is no model `{name}`", hint="agentd model list")
        self.asked.append(("load", name))

    async def unload_model(self, name: str) -> None:
        self.asked.append(("unload", name))


@pytest.fixture
def daemon() -> ScriptedDaemon:
    return ScriptedDaemon()


@pytest.fixture
async def socket_path(paths: Paths, daemon: ScriptedDaemon) -> AsyncIterator[Path]:
    async def report() -> Any:
        return {"pid": 1, "models": MODELS}

    with bound_socket(paths.socket) as sock:
        server = Server(create_app(daemon, report, daemon.read_again))
        serving = asyncio.create_task(server.serve([sock]))
        await wait_until(lambda: server.started)
        yield paths.socket
        server.should_exit = True
        await serving


@pytest.fixture
async def http(socket_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(socket_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://agentd", timeout=30) as client:
        yield client
