"""Who is measured: agentd's engine through its real child process, and its peers, each in a process of its own.

A side answers jobs as fast as it can. It is started for one measurement and ended after it, so that nothing lies
in one side's memory while another is measured.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from agentd.engine.choice import Choice
from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.model import Load
from benchmarks.engine.workload import Job

ROOT = Path(__file__).parents[2]
LOAD_SECONDS = 600.0
IDLE_SECONDS = 10.0
PEER_CONTEXT = 2048  # tokens a slot: the longest job of a workload, prompt and answer
_MOST_LINE = 2**26


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one job."""

    text: str
    stop: str  # "end", or "length" where a bound cut it
    tokens_in: int
    tokens_cached: int | None  # None where the side does not tell
    tokens_out: int


class Running(Protocol):
    """A side that has loaded its model."""

    version: str

    async def answer(self, jobs: Sequence[Job]) -> list[Answer]:
        """All answers, in the order of the jobs, which are asked at the same time."""

    async def work(self) -> dict[str, Any]:
        """What the side tells about its work since it was started, as plain values."""


class Side(Protocol):
    """Something that can be started and measured."""

    @property
    def name(self) -> str:
        """The engine, as tables name it."""

    @property
    def setting(self) -> str:
        """What else was chosen."""

    @property
    def width(self) -> int:
        """Jobs that it works on at the same time."""

    def start(self) -> contextlib.AbstractAsyncContextManager[Running]:
        """Run it for as long as the block."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agentd:
    """agentd's own engine."""

    settings: ModelSettings
    choice: Choice | None = None
    folder: Path | None = None  # where the child keeps files; by default one that is thrown away
    setting: str = "auto"
    name: str = "agentd"
    width: int = 8

    @contextlib.asynccontextmanager
    async def start(self) -> AsyncIterator["Child"]:
        """Load the model in a child, as the daemon does."""
        with tempfile.TemporaryDirectory() as own:
            client = EngineClient("bench", self.settings, choice=self.choice, folder=self.folder or Path(own))
            life = asyncio.create_task(client.run())
            try:
                async with asyncio.timeout(LOAD_SECONDS):
                    await client.wait_loaded()
                yield Child(client)
            finally:
                life.cancel()
                await asyncio.wait({life})


class Child:
    """agentd's engine with a model in memory."""

    version = "agentd"

    def __init__(self, client: EngineClient) -> None:
        self.client = client

    async def answer(self, jobs: Sequence[Job]) -> list[Answer]:
        """All at once: who is worked on when, the engine decides."""
        done = await asyncio.gather(*(self.client.generate(job.request()) for job in jobs))
        return [Answer(one.text, one.stop, one.tokens_in, one.tokens_cached, one.tokens_out) for one in done]

    async def idle(self) -> Load:
        """What the child tells once it has no work left; the last that it told where it does not say so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                while self.client.load.running or self.client.load.waiting:
                    await asyncio.sleep(0.05)
        return self.client.load

    async def work(self) -> dict[str, Any]:
        """Its load, and what it has in memory."""
        load, info = await self.idle(), self.client.info
        return {"load": dataclasses.asdict(load), "info": dataclasses.asdict(info)}


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """An engine of others, see `peer`."""

    engine: str  # xllamacpp, server or single
    model: Path
    kv: str  # type of K and V
    slots: int
    threads: int
    binary: Path | None = None

    @property
    def name(self) -> str:
        """As tables name it."""
        return PEER_NAMES[self.engine]

    @property
    def setting(self) -> str:
        """What was chosen for it."""
        slots = f"{self.slots} slot{'s' * (self.slots > 1)}, " if self.engine != "single" else ""
        return f"{slots}{threads_text(self.threads)}, KV {self.kv}"

    @property
    def width(self) -> int:
        """Its slots."""
        return self.slots

    @contextlib.asynccontextmanager
    async def start(self) -> AsyncIterator["PeerProcess"]:
        """Load the model in a process of the peer's."""
        process = await start_module("benchmarks.engine.peer")
        asked = dataclasses.asdict(self) | {"model": str(self.model), "context": PEER_CONTEXT}
        try:
            told = await ask_line(process, asked | {"binary": str(self.binary) if self.binary else None})
            yield PeerProcess(process, told["version"])
        finally:
            await end(process)


class PeerProcess:
    """A peer with a model in memory."""

    def __init__(self, process: asyncio.subprocess.Process, version: str) -> None:
        self._process = process
        self.version = version

    async def answer(self, jobs: Sequence[Job]) -> list[Answer]:
        """As many at once as keep its slots busy."""
        told = await ask_line(self._process, {"jobs": [job.to_wire() for job in jobs]})
        return [Answer(**answer) for answer in told["answers"]]

    async def work(self) -> dict[str, Any]:
        """Nothing: a peer does not tell."""
        return {}


PEER_NAMES = {
    "xllamacpp": "server engine (xllamacpp)",
    "server": "llama-server, built here",
    "single": "create_chat_completion",
}


def threads_text(count: int) -> str:
    """A number of threads in words."""
    return f"{count} thread{'s' * (count > 1)}"


async def start_module(module: str) -> asyncio.subprocess.Process:
    """A module of this package as a process with pipes; what it logs goes nowhere."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        env=os.environ | {"GGML_NO_BACKTRACE": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_MOST_LINE,
        start_new_session=True,  # so that what it starts itself can be ended with it
    )


async def ask_line(process: asyncio.subprocess.Process, line: dict[str, Any]) -> dict[str, Any]:
    """Send one line of JSON and wait for the one that answers it; raises `RuntimeError` where it ends instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(line).encode() + b"\n")
    await process.stdin.drain()
    answer = await process.stdout.readline()
    if not answer:
        raise RuntimeError(f"a process of the benchmark ended with {await process.wait()}: {str(line)[:300]}")
    told: dict[str, Any] = json.loads(answer)
    return told


async def end(process: asyncio.subprocess.Process) -> None:
    """Close its input, which ends it; kill it, and what it started, where that does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
