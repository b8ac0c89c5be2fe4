"""The supervisor's side of one engine child: start it, ask it, watch it, replace it.

`run` is the duty that keeps a child alive; the rest implements `model.Model` over its socket. A child that
dies, makes no progress for `stall` seconds or outgrows its memory is ended and a new one started, later each
time up to a minute. A request that it had begun ends with `EngineCrashed`; one that it had not begun ends with
`ModelUnavailable`, so that nobody pays for a neighbour's crash. What is asked, and why, is not known here.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from agentd.engine import weights
from agentd.engine.choice import Choice
from agentd.engine.frames import MAX_FRAME, BrokenFrame, Frame, encode, read_frame
from agentd.engine.settings import FAKE, ModelSettings
from agentd.errors import AgentdError, EngineCrashed, ModelUnavailable, TooLong
from agentd.model import DeviceMemory, Generation, Load, Message, ModelInfo, OnText, Rendered, Request

log = logging.getLogger("agentd.engine")

LOAD_SECONDS = 600.0  # a large model from a slow disk
FIRST_BACKOFF, LAST_BACKOFF = 0.5, 60.0
STEADY_SECONDS = 60.0  # a child that lived so long starts the backoff anew
WATCH_SECONDS = 1.0
BURIAL_SECONDS = 1.0
HEADROOM = 4 * 1024**3  # bytes beside the weights: KV cache, compute buffers, the interpreter


@dataclasses.dataclass(slots=True)
class _Call:
    future: asyncio.Future[Any]
    on_text: OnText | None = None
    started: bool = False  # the child has begun with it
    ended: bool = False  # the child is through with it, or gone


class EngineClient:
    """A `Model` in a process of its own. Use one `run` task for its life."""

    def __init__(
        self, name: str, settings: ModelSettings, *, choice: Choice | None = None, folder: Path | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.choice = choice  # what was measured best here, for the next child that starts
        self.load = Load()  # what the child told last
        self.error: AgentdError | None = None  # why there is no model now
        self.restarts = 0
        self._folder = folder  # where the child may keep files
        self._ready = asyncio.Event()
        self._tried = asyncio.Event()  # set once the first child has loaded or failed
        self._info: ModelInfo | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._last_frame = 0.0
        self._ending = ""  # why we are ending this child, if we are

    @property
    def loaded(self) -> bool:
        """Whether a model is in memory now."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is one."""
        return self._process.pid if self._process else None

    @property
    def info(self) -> ModelInfo:
        """What is loaded; raises `ModelUnavailable`."""
        if self._info is None or not self.loaded:
            raise self._unavailable()
        return self._info

    async def wait_ready(self) -> None:
        """Wait until a model is loaded, however long that takes."""
        await self._ready.wait()

    async def wait_loaded(self) -> None:
        """Wait until a model is loaded; raises `ModelUnavailable` as soon as the first try has failed."""
        await self._tried.wait()
        if not self.loaded:
            raise self._unavailable()

    async def render(self, messages: tuple[Message, ...]) -> Rendered:
        """The exact prompt for these messages."""
        return Rendered(**await self._ask({"op": "render", **_fields(Request(messages))}))

    async def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""
        await self._ask({"op": "check", "schema": schema})

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        """Answer a request. Cancelling the awaiting task cancels it in the child too."""
        value = await self._ask({"op": "generate", "stream": on_text is not None, **_fields(request)}, on_text)
        return Generation(**value)

    async def run(self) -> None:
        """Keep a child alive until cancelled."""
        backoff = FIRST_BACKOFF
        while True:
            started, looked = time.monotonic(), _stamp(self.settings)
            try:
                await self._live()
            except ModelUnavailable as error:
                self.error = error
                self._tried.set()
                log.error("model %s: %s", self.name, error)
                await self._changed_weights(looked)
                continue
            self.restarts += 1
            if time.monotonic() - started > STEADY_SECONDS:
                backoff = FIRST_BACKOFF
            log.warning("model %s: %s; starting it again in %.1f s", self.name, self.error, backoff)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)

    async def _live(self) -> None:
        """One child from start to end; raises `ModelUnavailable` where it says it cannot load."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # -P: no module is ever taken from the folder that a command happens to run in.
                *("-P", "-m", "agentd.engine.child", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_fd(sys.stderr) else asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        finally:
            theirs.close()
        self._process, self._ending = process, ""
        self._last_frame = time.monotonic()
        watcher = asyncio.create_task(self._watch(process))
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours)
            self._send(self._first_frame())
            async with asyncio.timeout(LOAD_SECONDS):
                self._greet(await read_frame(reader))
            while (frame := await read_frame(reader)) is not None:
                self._last_frame = time.monotonic()
                self._handle(frame)
        except (TimeoutError, BrokenFrame) as broken:
            self._ending = str(broken) or f"did not load within {LOAD_SECONDS:g} s"
        finally:
            watcher.cancel()
            await self._bury(process)
            self._fail_calls(self._obituary(process))

    def _first_frame(self) -> Frame:
        return {
            "settings": self.settings.model_dump(mode="json"),
            "choice": dataclasses.asdict(self.choice) if self.choice else None,
            "folder": str(self._folder) if self._folder else None,
        }

    def _greet(self, frame: Frame | None) -> None:
        if frame is None:
            return
        if frame["type"] == "failed":
            raise ModelUnavailable(frame["error"]["message"], hint=frame["error"]["hint"])
        self._info, self.error = _model_info(frame["info"]), None
        self._ready.set()
        self._tried.set()
        log.info("model %s: %s, context %s", self.name, self._info.description, f"{self._info.context:,}")

    def _handle(self, frame: Frame) -> None:
        if frame["type"] == "load":
            self.load = Load(**frame["load"])
            return
        call = self._calls.get(frame.get("id", 0))
        if call is None or call.future.done():
            return
        match frame["type"]:
            case "started":
                call.started = True
            case "text":
                self._pass_on(call, frame["text"])
            case "done":
                call.ended = True
                call.future.set_result(frame["value"])
            case "error":
                call.ended = True
                call.future.set_exception(AgentdError.from_wire(frame["error"]))

    def _pass_on(self, call: _Call, text: str) -> None:
        try:
            if call.on_text:
                call.on_text(text)
        except Exception as mistake:  # noqa: BLE001 - it goes to whoever asked, and must not end the child
            call.future.set_exception(mistake)

    async def _ask(self, frame: Frame, on_text: OnText | None = None) -> Any:
        if not self.loaded:
            raise self._unavailable()
        number = next(self._numbers)
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future(), on_text)
        try:
            self._send({"id": number, **frame})
            return await call.future
        except BrokenFrame as broken:
            raise TooLong(f"the request is {broken}, the largest has {MAX_FRAME:,}") from broken
        finally:
            if not call.ended:
                self._send({"id": number, "op": "cancel"})
            del self._calls[number]

    def _send(self, frame: Frame) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(encode(frame))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """End the child when it outgrows its memory, or owes an answer and makes no progress."""
        limit = self._memory_limit()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._calls:
                self._last_frame = time.monotonic()
            elif time.monotonic() - self._last_frame > self.settings.stall:
                self._ending = f"made no progress for {self.settings.stall:g} s"
            try:
                resident = psutil.Process(process.pid).memory_info().rss
            except psutil.Error:
                continue  # it is gone: the reader sees the end of the stream
            if resident > limit:
                self._ending = f"outgrew its memory: {resident:,} of {limit:,} bytes"
            if self._ending:
                process.kill()
                return

    def _memory_limit(self) -> int:
        if self.settings.memory != "auto":
            return self.settings.memory
        size = 0
        if self.settings.path != FAKE:
            with contextlib.suppress(ModelUnavailable, OSError):
                size = weights.find_weights(self.settings).stat().st_size
        return 2 * size + HEADROOM

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        self._ready.clear()
        if self._writer:
            self._writer.close()
        # A child that is ending by itself has a reason to tell; a hung one gets a second, no more.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BURIAL_SECONDS):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._process = self._writer = None
        self.load = Load()

    def _obituary(self, process: asyncio.subprocess.Process) -> EngineCrashed:
        code = process.returncode or 0
        how = self._ending or (f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}")
        return EngineCrashed(f"the engine child of model {self.name} {how}")

    def _fail_calls(self, error: EngineCrashed) -> None:
        self.error = error
        self._tried.set()
        for call in self._calls.values():
            call.ended = True
            if not call.future.done():
                call.future.set_exception(error if call.started else ModelUnavailable(error.message))

    def _unavailable(self) -> ModelUnavailable:
        if self.error:
            return ModelUnavailable(self.error.message, hint=self.error.hint)
        return ModelUnavailable(f"model {self.name} is still loading")

    async def _changed_weights(self, before: weights.FileStamp | None) -> None:
        """Wait until the file of the model looks different from `before`, so that mending it is enough.

        Not for ever: what stood in the way may not have been the file, but too little memory.
        """
        deadline = time.monotonic() + LAST_BACKOFF
        while _stamp(self.settings) == before and time.monotonic() < deadline:
            await asyncio.sleep(WATCH_SECONDS)


def _stamp(settings: ModelSettings) -> weights.FileStamp | None:
    try:
        return weights.stamp(settings.file or weights.find_weights(settings))
    except (ModelUnavailable, OSError):
        return None


def _model_info(wire: Frame) -> ModelInfo:
    memory = tuple(DeviceMemory(**device) for device in wire["memory"])
    return ModelInfo(**wire | {"memory": memory, "notes": tuple(wire["notes"])})


def _fields(request: Request) -> Frame:
    return {
        "messages": [dataclasses.asdict(message) for message in request.messages],
        "empty": [dataclasses.asdict(message) for message in request.empty],
        "shared": request.shared,
        "decide": list(request.decide),
        "schema": request.schema,
        "max_tokens": request.max_tokens,
        "seconds": request.seconds,
        "priority": int(request.priority),
    }


def _has_fd(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
