"""One engine child, from its start to its end: the process, its socket, and the requests it owes an answer.

A child that makes no progress for `stall` seconds or outgrows its memory is killed. A request that it had begun
ends with `EngineCrashed` then; one that it had not begun, or that was cut off because the child was sent away,
ends with `ModelUnavailable`, so that nobody pays for a neighbour's crash. When a child is started, why it is
sent away and what it is asked is not known here.
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
from collections.abc import Iterator
from typing import Any

import psutil

from agentd.engine import weights
from agentd.engine.settings import FAKE, ModelSettings
from agentd.errors import AgentdError, EngineCrashed, ModelUnavailable, TooLong
from agentd.frames import BrokenFrame, Frame, encode, read_frame
from agentd.model import DeviceMemory, Load, ModelInfo, OnText

log = logging.getLogger("agentd.engine")

LOAD_SECONDS = 600.0  # a large model from a slow disk
TELL_SECONDS = 10.0  # between the lines of the log about a conversion
WATCH_SECONDS = 1.0
BURIAL_SECONDS = 1.0
LARGEST_COPY = 4  # times the file: one of 2 bits that was converted to 8
HEADROOM = 4 * 1024**3  # bytes beside the weights: KV cache, compute buffers, the interpreter


@dataclasses.dataclass(slots=True)
class _Call:
    future: asyncio.Future[Any]
    on_text: OnText | None = None
    started: bool = False  # the child has begun with it
    ended: bool = False  # the child is through with it, or gone


class EngineProcess:
    """A child that runs. Make one with `start`; whoever made it calls `bury` in the end."""

    def __init__(
        self,
        name: str,
        settings: ModelSettings,
        process: asyncio.subprocess.Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        memory_limit: int,
    ) -> None:
        self.info: ModelInfo | None = None  # once it is loaded
        self.load = Load()  # what it told last
        self.gone = asyncio.Event()  # it has ended, and nobody waits for it any more
        self._name = name
        self._stall = settings.stall
        self._memory_limit = memory_limit
        self._process = process
        self._reader, self._writer = streams
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._last_progress = time.monotonic()
        self._told = -TELL_SECONDS  # when the log heard of a conversion
        self._killed = ""  # why we kill it, if we do
        self._dismissed = ""  # why it was sent away, if it was
        self._over = False  # it has closed its socket
        self._watcher = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, name: str, settings: ModelSettings, first: dict[str, Any]) -> "EngineProcess":
        """Start a child and send it its first frame; raises `OSError` where the system has no room for one."""
        ours, theirs = socket.socketpair()
        with theirs:
            streams = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    # -P: no module is ever taken from the folder that a command happens to run in.
                    *("-P", "-m", "agentd.engine.child", str(theirs.fileno())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=sys.stderr.fileno() if _has_fd(sys.stderr) else asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except BaseException:
                streams[1].close()
                raise
        child = cls(name, settings, process, streams, _memory_limit(settings, first))
        child._send(first)
        return child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether it owes anybody an answer."""
        return bool(self._calls)

    @property
    def ending(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._over or bool(self._dismissed or self._killed)

    async def wait_loaded(self) -> None:
        """Wait until it has loaded its model, or has died; raises `ModelUnavailable` where it says it cannot."""
        try:
            async with asyncio.timeout(LOAD_SECONDS) as bound:
                while self.info is None and (frame := await read_frame(self._reader)) is not None:
                    self._last_progress = time.monotonic()
                    if frame["type"] == "converting":
                        bound.reschedule(asyncio.get_running_loop().time() + LOAD_SECONDS)
                        self._tell_conversion(frame["share"])
                    if frame["type"] == "failed":
                        raise ModelUnavailable(frame["error"]["message"], hint=frame["error"]["hint"])
                    if frame["type"] == "ready":
                        self.info = _model_info(frame["info"])
        except (TimeoutError, BrokenFrame) as broken:
            self._kill(str(broken) or f"did not load within {LOAD_SECONDS:g} s")

    async def serve(self) -> None:
        """Hand its frames to those who asked, until it ends."""
        try:
            while (frame := await read_frame(self._reader)) is not None:
                self._last_progress = time.monotonic()
                self._handle(frame)
        except BrokenFrame as broken:
            self._kill(str(broken))

    async def ask(self, frame: Frame, on_text: OnText | None = None) -> Any:
        """The value that answers a frame; raises `EngineError`. Cancelled here, it is cancelled there.

        A child that is `ending` is asked nothing any more.
        """
        number = next(self._numbers)
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future(), on_text)
        try:
            self._send({"id": number, **frame})
            return await call.future
        except BrokenFrame as broken:
            call.ended = True  # it was never sent
            raise TooLong(f"the request is {broken}") from broken
        finally:
            if not call.ended:
                self._send({"id": number, "op": "cancel"})
            del self._calls[number]

    def dismiss(self, why: str) -> None:
        """Send it away, by closing its socket; what it still owes ends with `ModelUnavailable`."""
        if not self.ending:
            self._dismissed = why
            # Not `close`, which would wait for a child that stands still to take what was written.
            self._writer.transport.abort()

    async def bury(self) -> AgentdError:
        """See it out and fail what it owes; the error says why it ended: `EngineCrashed` unless dismissed."""
        self._over = True
        self._watcher.cancel()
        self._writer.transport.abort()
        # A child that is ending by itself has a reason to tell; a hung one gets a second, no more.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BURIAL_SECONDS):
                await self._process.wait()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self.gone.set()
        reason = self._reason()
        for call in self._calls.values():
            call.ended = True
            if not call.future.done():
                blamed = call.started or isinstance(reason, ModelUnavailable)
                call.future.set_exception(reason if blamed else ModelUnavailable(reason.message))
        return reason

    def _reason(self) -> AgentdError:
        if self._dismissed:
            return ModelUnavailable(
                f"model {self._name} {self._dismissed}", hint=f"agentd model load {self._name}"
            )
        code = self._process.returncode or 0
        how = self._killed or (f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}")
        return EngineCrashed(f"the engine child of model {self._name} {how}")

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
            case "waiting":
                call.started = False
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

    def _tell_conversion(self, share: float) -> None:
        now = time.monotonic()
        if share == 1 or now - self._told > TELL_SECONDS:
            self._told = now
            log.info("model %s: a converted copy of its weights is made, %.0f %%", self._name, 100 * share)

    def _send(self, frame: Frame) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(frame))

    def _kill(self, why: str) -> None:
        self._killed = why
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _watch(self) -> None:
        """Kill the child when it outgrows its memory, or has something to do and makes no progress."""
        limit, stall = self._memory_limit, self._stall
        looks = _looks(self.pid)
        before = 0, 0.0
        while not self._killed:
            await asyncio.sleep(WATCH_SECONDS)
            look = next(looks, None)
            if look is None:
                return  # it is gone: the reader sees the end of the stream
            # While it loads it says nothing, but it computes or grows; without a request it has nothing to do.
            if (self.info is None and look != before) or (self.info and not self._calls):
                self._last_progress = time.monotonic()
            before = look
            if time.monotonic() - self._last_progress > stall:
                self._kill(f"made no progress for {stall:g} s")
            elif look[0] > limit:
                self._kill(f"outgrew its memory: {look[0]:,} of {limit:,} bytes")


def _looks(pid: int) -> Iterator[tuple[int, float]]:
    """Resident bytes and CPU seconds of a process, until it is gone."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        while True:
            with process.oneshot():
                times = process.cpu_times()
                look = process.memory_info().rss, times.user + times.system
            yield look


def _memory_limit(settings: ModelSettings, first: Frame) -> int:
    """Resident bytes past which a child is replaced that got this frame first."""
    if settings.memory != "auto":
        return settings.memory
    size = 0
    if settings.path != FAKE:
        with contextlib.suppress(ModelUnavailable, OSError):
            size = weights.find_weights(settings).stat().st_size
    measured = settings.repack == "auto" and first["choice"] and first["choice"]["weights"]
    if measured or settings.repack not in ("auto", "off"):
        size *= LARGEST_COPY
    return 2 * size + HEADROOM


def _model_info(wire: dict[str, Any]) -> ModelInfo:
    memory = tuple(DeviceMemory(**device) for device in wire["memory"])
    return ModelInfo(**wire | {"memory": memory, "notes": tuple(wire["notes"])})


def _has_fd(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
