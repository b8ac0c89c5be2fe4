"""A model that says what a test tells it to say, in place of an engine child."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agentd.engine.choice import Choice
from agentd.engine.settings import ModelSettings
from agentd.errors import AgentdError, ModelUnavailable
from agentd.model import DeviceMemory, Generation, Load, Message, ModelInfo, OnText, Rendered, Request
from agentd.records import Priority

GOOD = '{"title": "Pears", "tags": ["garden"]}'
SHA256 = "5" * 64

Answer = str | BaseException | Callable[[], Awaitable[str]]


class ScriptedEngine:
    """Looks like an `EngineClient`. A call for which there is no answer left fails the test."""

    def __init__(self, name: str = "main", *answers: Answer, loaded: bool = True) -> None:
        self.name = name
        self.settings = ModelSettings(path="fake")
        self.answers = list(answers)
        self.unexpected = 0
        self.error: AgentdError | None = None
        self.restarts = 0
        self.held = False
        self.gave_way_to = ""
        self.pid = None
        self.parallel = 1
        self.load = Load()
        self.choice: Choice | None = None
        self.renewed = 0  # how often it was to be loaded anew
        self.demands = 0  # how often somebody had work for a model that was not loaded
        self.ready = asyncio.Event()
        if loaded:
            self.ready.set()

    @property
    def state(self) -> str:
        return "loaded" if self.loaded else "failed" if self.error else "unloaded" if self.held else "loading"

    @property
    def loaded(self) -> bool:
        return self.ready.is_set()

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            *("/m/main.gguf", "a scripted model", SHA256, 1000, "q8_0/q8_0", 20, 30, True),
            cells=4096,
            parallel=self.parallel,
            memory=(DeviceMemory("CPU", 10, 20, 30), DeviceMemory("CUDA0", 40, 50, 60)),
            weights="a copy in q8_0: measured faster",
            notes=("context 1,000: no more fits",),
        )

    @property
    def sha256(self) -> str:
        return SHA256 if self.loaded else ""

    def demand(self, *, person: bool = False) -> None:
        self.demands += 1
        self.held = self.held and not person

    async def load_now(self) -> None:
        self.demand(person=True)
        self.ready.set()

    async def unload(self) -> None:
        self.held = True
        self.ready.clear()

    async def renew(self, why: str) -> None:
        self.renewed += 1

    async def wait_ready(self) -> None:
        await self.ready.wait()

    async def wait_loaded(self) -> None:
        if not self.loaded:
            raise ModelUnavailable

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        text = "\n".join(message.content for message in messages)
        return Rendered(text, len(text) // 4)

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        if not self.answers:
            self.unexpected += 1
            raise AssertionError("an unexpected call of the model")
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        text: Any = answer if isinstance(answer, str) else await answer()
        return Generation(text, "end", 10, 0, 5, 0.1)
