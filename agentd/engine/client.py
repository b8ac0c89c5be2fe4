"""The supervisor's side of a model: when there is a child for it, and `model.Model` over that child.

`run` is the duty behind it. A child that crashed is started again, later each time up to a minute. One that was
idle for `keep_alive` is sent away and comes back on demand; one that a person unloaded comes back for a person
only, and one that gave way to another program when it is told to. When the model's file is replaced, so is the
child, once it owes nothing. What is asked, and why, is not known here.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from agentd.engine import process, weights
from agentd.engine.choice import Choice
from agentd.engine.process import EngineProcess
from agentd.engine.settings import EMBEDDINGS, FAKE, ModelSettings
from agentd.errors import AgentdError, EngineCrashed, ModelUnavailable
from agentd.frames import Frame
from agentd.model import Embeddings, Generation, Load, Message, ModelInfo, OnText, Rendered, Request
from agentd.records import Priority
from agentd.ticks import attend, tick

log = logging.getLogger("agentd.engine")

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 60.0
STEADY_SECONDS = 60.0  # a child that lived so long starts the backoff anew
WATCH_SECONDS = 1.0
SETTLE_SECONDS = 5.0  # for which a replaced file must stay as it is
DRAIN_SECONDS = 60.0  # for which a child that is to be replaced may finish what it owes

State = Literal["loading", "loaded", "failed", "unloaded"]


class EngineClient:
    """A `Model`, or an `Embedder`, in a process of its own. Use one `run` task for its life.

    One for embeddings is not loaded before somebody needs it.
    """

    def __init__(
        self, name: str, settings: ModelSettings, *, choice: Choice | None = None, folder: Path | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.choice = choice  # what was measured best here, for the next child that starts
        self.error: AgentdError | None = None  # why there is no model now
        self.restarts = 0  # after crashes
        self.held = False  # a person unloaded it, and no person has asked for it since
        self.gave_way_to = ""  # the program that needs the GPU; nobody's demand brings it back meanwhile
        self._insisted = False  # a person loaded it all the same
        self._folder = folder  # where the child may keep files
        self._child: EngineProcess | None = None
        self._info: ModelInfo | None = None  # what was loaded last
        self._wanted = asyncio.Event()  # there should be a child
        if settings.use != EMBEDDINGS:
            self._wanted.set()
        self._ready = asyncio.Event()  # a model is loaded, and takes new work
        self._tried = (
            asyncio.Event()
        )  # whoever waits for the model may look: it has loaded, failed, or will not come
        self._hurry = asyncio.Event()  # no more waiting before the next try
        self._used = 0.0  # when it was last needed
        self._resumes = False  # having given way, it is loaded when it may be

    @property
    def loaded(self) -> bool:
        """Whether a model is in memory and takes new work."""
        return self._ready.is_set() and self._usable() is not None

    @property
    def state(self) -> State:
        """Where the model is on its way in or out of memory."""
        if self.loaded:
            return "loaded"
        if self.error:
            return "failed"
        return "loading" if self._wanted.is_set() else "unloaded"

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is one."""
        return self._child.pid if self._child else None

    @property
    def load(self) -> Load:
        """What the child does."""
        return self._child.load if self._child else Load()

    @property
    def info(self) -> ModelInfo:
        """What is loaded, or comes back on demand; raises `ModelUnavailable`."""
        if self._info is None or self._barred or self.error:
            raise self._unavailable()
        return self._info

    @property
    def on_gpu(self) -> bool:
        """Whether it has layers on a GPU when it is loaded, or may have, as long as it never was."""
        return self._info is None or self._info.gpu_layers > 0

    @property
    def sha256(self) -> str:
        """Of the weights that were loaded last; empty where none ever were."""
        return self._info.sha256 if self._info else ""

    def demand(self, *, person: bool = False) -> None:
        """Somebody needs the model: load it if it is not. What a person unloaded is loaded for a person only.

        One that gave way comes back later, by `take_back`.
        """
        self._used = time.monotonic()
        if self.held and not person:
            return
        if self.gave_way_to:
            self.held, self._resumes = False, True
        elif self.held or not self._wanted.is_set():
            self.held = False
            self._tried.clear()
            self._wanted.set()

    async def load_now(self) -> None:
        """Load the model without waiting for the next try; raises `ModelUnavailable` where that fails.

        One that gave way is loaded all the same, and stays until the GPU has been free once.
        """
        self._insisted, self.gave_way_to = bool(self.gave_way_to) or self._insisted, ""
        self.demand(person=True)
        if not self.loaded:
            self.error = None
            self._tried.clear()
            self._hurry.set()
        await self.wait_loaded()

    async def unload(self) -> None:
        """Take the model out of memory, and keep it out until a person needs it.

        Requests that are under way end with `ModelUnavailable`.
        """
        log.info("model %s: unloaded on request", self.name)
        self.held, self.error = True, None
        self._let_go("was unloaded")
        self._tried.set()
        self._hurry.set()
        if self._child:
            await self._child.gone.wait()

    def give_way(self, program: str) -> None:
        """Leave memory to a program that needs the GPU, unless a person insisted; `take_back` ends that.

        Requests that are under way end with `ModelUnavailable`.
        """
        if self._insisted or self.gave_way_to:
            return
        log.info("model %s: gives way to %s", self.name, program)
        self._resumes = self._wanted.is_set()
        self.gave_way_to, self.error = program, None
        self._let_go(f"gave way to {program}")
        self._tried.set()
        self._hurry.set()

    def take_back(self) -> None:
        """The GPU is free: load the model that gave way, if it was there or somebody has asked for it since."""
        self._insisted = False
        if not self.gave_way_to:
            return
        log.info("model %s: comes back, the GPU is free", self.name)
        self.gave_way_to = ""
        if self._resumes and not self.held:
            self._tried.clear()
            self._wanted.set()

    async def renew(self, why: str) -> None:
        """Let the child finish what it owes, and start another, with the choice and the file as they are then."""
        child = self._child
        if child is None:
            return
        log.info("model %s: %s; it is loaded anew", self.name, why)
        self._ready.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while child.busy:
                    tick()
                    await asyncio.sleep(WATCH_SECONDS)
        self._tried.clear()
        child.dismiss("is loaded anew")

    async def wait_ready(self) -> None:
        """Wait until a model is loaded and takes new work, however long that takes."""
        await self._ready.wait()

    async def wait_loaded(self) -> None:
        """Wait until a model is loaded; raises `ModelUnavailable` as soon as a try has failed."""
        await self._tried.wait()
        if not self._usable():
            raise self._unavailable()

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        """The exact prompt for these messages."""
        return Rendered(**await self._ask({"op": "render", **Request(messages, priority=priority).to_wire()}))

    async def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""
        await self._ask({"op": "check", "schema": schema})

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        """Answer a request. Cancelling the awaiting task cancels it in the child too."""
        frame = {"op": "generate", "stream": on_text is not None, **request.to_wire()}
        return Generation(**await self._ask(frame, on_text))

    async def embed(
        self, texts: Sequence[str], priority: Priority = Priority.TRIGGERED, seconds: float = 300.0
    ) -> Embeddings:
        """The vector of each text. Cancelling the awaiting task cancels it in the child too."""
        frame = {"op": "embed", "texts": list(texts), "priority": int(priority), "seconds": seconds}
        return Embeddings.from_wire(await self._ask(frame))

    async def run(self) -> None:
        """Keep a child alive while one is wanted, until cancelled."""
        backoff = FIRST_BACKOFF
        self.error = None
        if not self._barred:
            self._tried.clear()
        try:
            while True:
                await attend(self._wanted.wait())
                self._hurry.clear()
                started, looked = time.monotonic(), await self._look()
                try:
                    ended = await self._live(looked)
                except ModelUnavailable as error:
                    self._fail(error)
                    log.error("model %s: %s", self.name, error)
                    await self._changed_weights(looked)
                    continue
                if not isinstance(ended, EngineCrashed):
                    continue
                self._fail(ended)
                self.restarts += 1
                if time.monotonic() - started > STEADY_SECONDS:
                    backoff = FIRST_BACKOFF
                log.warning("model %s: %s; starting it again in %.1f s", self.name, ended, backoff)
                await self._pause(backoff)
                backoff = min(backoff * 2, LAST_BACKOFF)
        finally:
            self._fail(ModelUnavailable(f"the engine of model {self.name} has ended"))

    async def _live(self, looked: weights.FileStamp | None) -> AgentdError:
        """One child from start to end, and why it ended; raises `ModelUnavailable` where it cannot load."""
        child = self._child = await EngineProcess.start(self.name, self.settings, self._first_frame())
        tending = asyncio.create_task(self._tend(child, looked))
        if not self._wanted.is_set():
            child.dismiss("was unloaded")
        try:
            await child.wait_loaded()
            if child.info and not child.ending:
                self._info, self.error = child.info, None
                self._used = time.monotonic()
                self._ready.set()
                self._tried.set()
                log.info("model %s: %s, context %s", self.name, child.info.description, f"{child.info.context:,}")
                await child.serve()
        except asyncio.CancelledError:
            child.dismiss("ends with its daemon")
            raise
        finally:
            tending.cancel()
            self._ready.clear()
            if not self._barred:
                self._tried.clear()
            ended = await child.bury()
            self._child = None
        return ended

    def _first_frame(self) -> Frame:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "choice": dataclasses.asdict(self.choice) if self.choice else None,
            "folder": str(self._folder) if self._folder else None,
        }

    async def _tend(self, child: EngineProcess, looked: weights.FileStamp | None) -> None:
        """Send a child away when it was idle for `keep_alive`, or when its file was replaced."""
        keep_alive, found, since = self.settings.keep_alive, looked, time.monotonic()
        while True:
            tick()
            await asyncio.sleep(WATCH_SECONDS)
            look = await self._look()
            now = time.monotonic()
            if look != found:
                found, since = look, now
            if found not in (None, looked) and now - since >= SETTLE_SECONDS:
                return await self.renew("its file was replaced")
            if child.busy or not self._ready.is_set():
                self._used = now
            elif keep_alive != "forever" and now - self._used > keep_alive:
                log.info("model %s: unloaded after %g s without work", self.name, keep_alive)
                self._let_go(f"was idle for {keep_alive:g} s")
                self._tried.clear()
                return None

    @property
    def _barred(self) -> bool:
        """Whether it is kept out of memory, so that nobody should wait for it."""
        return self.held or bool(self.gave_way_to)

    def _let_go(self, why: str) -> None:
        self._wanted.clear()
        self._ready.clear()
        if self._child:
            self._child.dismiss(why)

    async def _ask(self, frame: Frame, on_text: OnText | None = None) -> Any:
        if not self._usable() and self._info and not self.error:
            await self._come_back()
        child = self._usable()
        if child is None:
            raise self._unavailable()
        self._used = time.monotonic()
        return await child.ask(frame, on_text)

    def _usable(self) -> EngineProcess | None:
        """The child, if it can be asked; one that is to be replaced still can."""
        child = self._child
        return child if child and child.info and not child.ending else None

    async def _come_back(self) -> None:
        """Load a model that was in memory before, and wait for it."""
        self.demand()
        try:
            async with asyncio.timeout(process.LOAD_SECONDS):
                await self.wait_loaded()
        except TimeoutError:
            raise self._unavailable() from None

    def _fail(self, error: AgentdError) -> None:
        """There is no model now, unless there should be none; whoever waits for it is told."""
        if not self._barred:
            self.error = error
        self._tried.set()

    def _unavailable(self) -> ModelUnavailable:
        if self.error:
            return ModelUnavailable(self.error.message, hint=self.error.hint)
        if self.held:
            return ModelUnavailable(f"model {self.name} was unloaded", hint=f"agentd model load {self.name}")
        if self.gave_way_to:
            told = f"model {self.name} gave way to {self.gave_way_to} on the GPU, and comes back when that is free"
            return ModelUnavailable(told, hint=f"agentd model load {self.name}")
        return ModelUnavailable(f"model {self.name} is still loading")

    async def _changed_weights(self, before: weights.FileStamp | None) -> None:
        """Wait until the file of the model looks different from `before`, so that mending it is enough.

        Not for ever: what stood in the way may not have been the file, but too little memory.
        """
        deadline = time.monotonic() + LAST_BACKOFF
        while await self._look() == before and time.monotonic() < deadline and not self._hurry.is_set():
            tick()
            await self._pause(WATCH_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _look(self) -> weights.FileStamp | None:
        """What the model's file looks like; None where it is missing, or no GGUF."""
        if self.settings.path == FAKE:
            return None
        # In a thread: a file on a network may take its time.
        return await attend(asyncio.to_thread(_stamp, self.settings))


def _stamp(settings: ModelSettings) -> weights.FileStamp | None:
    try:
        return weights.stamp(weights.find_weights(settings))
    except (ModelUnavailable, OSError):
        return None
