"""The engine child: the only process that loads a model. `python -m agentd.engine.child FD`.

It reads frames from the socket FD and answers them; all generations share the steps of one batch, and a cancel
takes effect at the next step. It may crash, hang or be killed at any time: `client` watches it. When the other
end of the socket closes, it ends at once, even inside llama.cpp.

    supervisor → child                              child → supervisor
    {settings, choice, folder}   first frame        {type: converting, share}… where weights are converted first,
                                                    {type: ready, info} or {type: failed, error}
    {id, op: generate, stream, …}                   {id, type: started}: if this process dies now,
                                                    it may be why, {id, type: waiting}: not any more,
                                                    and started again with its first step,
                                                    {id, type: text, text}… if streamed,
                                                    {id, type: done, value} or {id, type: error, error}
    {id, op: embed, texts, …}                       the same without text, where the model is for embeddings
    {id, op: render | check, …}                     started, then done or error
    {id, op: cancel}                                the request ends with the error `cancelled`
                                                    {type: load, load} once a second while it works, once after
"""

import contextlib
import dataclasses
import faulthandler
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agentd.engine.choice import Choice
from agentd.engine.settings import EMBEDDINGS, FAKE, ModelSettings
from agentd.engine.step import News
from agentd.errors import AgentdError, ModelUnavailable
from agentd.frames import BrokenFrame, Frame, encode, receive_frame
from agentd.model import Load, Message, ModelInfo, Rendered, Request
from agentd.records import Priority

NICE = 10
LOAD_SECONDS = 1.0  # how often the load is told


class Backend(Protocol):
    """A model inside this process."""

    info: ModelInfo

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""

    def cancel(self, number: int) -> list[News]:
        """End a request at once."""

    def step(self) -> list[News]:
        """Evaluate one batch, and tell what became of whom."""

    def load(self) -> Load:
        """What it is doing."""


@runtime_checkable
class Writer(Backend, Protocol):
    """One that writes text."""

    def render(self, request: Request) -> Rendered:
        """The exact prompt of a request."""

    def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""

    def add(self, number: int, request: Request) -> None:
        """Take a request in; raises `EngineError` where it can never be answered."""


@runtime_checkable
class Embedder(Backend, Protocol):
    """One that makes embeddings."""

    def embed(self, number: int, texts: Sequence[str], priority: Priority, seconds: float) -> None:
        """Take a request in."""


class Child:
    """Answers the frames of one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._streamed: set[int] = set()  # requests whose text somebody reads as it grows
        self._told = 0.0  # when the load was
        self._hurry = threading.Event()  # somebody came who should not wait for the end of a step

    def run(self) -> None:
        """Load the model that the first frame asks for, then serve until the socket closes."""
        first = receive_frame(self._socket)
        if first is None:
            return
        threading.Thread(target=self._receive, daemon=True).start()
        try:
            backend = _load(first, lambda share: self._send({"type": "converting", "share": share}), self._hurry)
        except AgentdError as error:
            self._send({"type": "failed", "error": error.to_wire()})
            return
        self._send({"type": "ready", "info": dataclasses.asdict(backend.info)})
        while True:
            self._take(backend)
            for news in backend.step() if backend.busy else ():
                self._tell(news)
            self._tell_load(backend)

    def _receive(self) -> None:
        """Move frames from the socket to the queue; end the process with the socket."""
        try:
            while (frame := receive_frame(self._socket)) is not None:
                self._frames.put(frame)
                if frame.get("priority") == Priority.INTERACTIVE:
                    self._hurry.set()
        except (OSError, BrokenFrame) as broken:
            print(f"engine child: {broken}", file=sys.stderr)  # noqa: T201 - the daemon's log
        # The main thread may be deep inside llama.cpp, where no exception reaches it.
        os._exit(0)

    def _send(self, frame: Frame) -> None:
        self._socket.sendall(encode(frame))

    def _take(self, backend: Backend) -> None:
        """Look at every frame that has come; without work, wait for one, which may have ended the last of it."""
        self._hurry.clear()  # before looking: who comes from here on may be overlooked
        waits = not backend.busy
        while True:
            try:
                frame = self._frames.get(block=waits)
            except queue.Empty:
                return
            waits = False
            try:
                self._answer(backend, frame)
            except AgentdError as error:
                self._send({"id": frame["id"], "type": "error", "error": error.to_wire()})

    def _answer(self, backend: Backend, frame: Frame) -> None:
        number = frame["id"]
        if frame["op"] != "cancel":
            self._send({"id": number, "type": "started"})
        match frame["op"]:
            case "generate" if isinstance(backend, Writer):
                backend.add(number, _request(frame))
                if frame["stream"]:
                    self._streamed.add(number)
                self._send({"id": number, "type": "waiting"})
            case "embed" if isinstance(backend, Embedder):
                backend.embed(number, frame["texts"], Priority(frame["priority"]), frame["seconds"])
                self._send({"id": number, "type": "waiting"})
            case "cancel":
                for news in backend.cancel(number):
                    self._tell(news)
            case "render" if isinstance(backend, Writer):
                self._done(number, dataclasses.asdict(backend.render(_request(frame))))
            case "check" if isinstance(backend, Writer):
                backend.check_schema(frame["schema"])
                self._done(number, None)
            case other:
                raise ModelUnavailable(f"this model is not for that: {other}", hint="agentd model list")

    def _done(self, number: int, value: Any) -> None:
        self._send({"id": number, "type": "done", "value": value})

    def _tell(self, news: News) -> None:
        if news.started:
            self._send({"id": news.number, "type": "started"})
        if news.text and news.number in self._streamed:
            self._send({"id": news.number, "type": "text", "text": news.text})
        if news.done:
            self._done(news.number, dataclasses.asdict(news.done))
        if news.vectors:
            self._done(news.number, news.vectors.to_wire())
        if news.error:
            self._send({"id": news.number, "type": "error", "error": news.error.to_wire()})
        if news.done or news.error:
            self._streamed.discard(news.number)

    def _tell_load(self, backend: Backend) -> None:
        """Say what the engine does, which also says that it is alive."""
        now = time.monotonic()
        if now - self._told > LOAD_SECONDS or not backend.busy:
            self._told = now
            self._send({"type": "load", "load": dataclasses.asdict(backend.load())})


def _load(first: Frame, on_convert: Callable[[float], None], hurry: threading.Event) -> Backend:
    settings = ModelSettings.model_validate(first["settings"])
    if settings.path == FAKE:
        from agentd.engine.fake import FakeEmbedder, FakeModel

        return FakeEmbedder(settings) if settings.use == EMBEDDINGS else FakeModel(settings)
    if settings.use == EMBEDDINGS:
        from agentd.engine.embedding import EmbeddingModel

        return EmbeddingModel(settings)
    from agentd.engine.local import LocalModel

    return LocalModel(
        settings,
        Choice(**first["choice"]) if first["choice"] else None,
        Path(first["folder"]) if first["folder"] else None,
        on_convert,
        hurry.is_set,
    )


def _request(frame: Frame) -> Request:
    return Request(
        messages=_messages(frame["messages"]),
        schema=frame["schema"],
        max_tokens=frame["max_tokens"],
        seconds=frame["seconds"],
        priority=Priority(frame["priority"]),
        shared=frame["shared"],
        decide=tuple(frame["decide"]),
        empty=_messages(frame["empty"]),
    )


def _messages(wire: list[dict[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(**message) for message in wire)


def give_way() -> None:
    """Take a low priority, the same for all that is done here: what a person does on this machine goes first."""
    os.nice(NICE)
    # Where Linux shares the CPU out by sessions, a nice value counts within one only: so this is a session of its
    # own, and the value is the session's too.
    if os.getsid(0) != os.getpid():
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


def main() -> None:
    """Serve the socket whose number is the first argument."""
    faulthandler.enable()
    give_way()
    # Ctrl-C in a terminal reaches the whole process group; the supervisor decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            Child(sock).run()
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)  # nobody is left to tell, nor to see that the other thread finds the socket closed


if __name__ == "__main__":
    main()
