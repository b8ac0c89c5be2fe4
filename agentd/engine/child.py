"""The engine child: the only process that loads a model. `python -m agentd.engine.child FD`.

It reads frames from the socket FD and answers them, one generation at a time, the most urgent first; a cancel
takes effect at the next step. It may crash, hang or be killed at any time: `client` watches it. When the other
end of the socket closes, it ends at once, even inside llama.cpp.

    supervisor → child                              child → supervisor
    {settings, choice, folder}   first frame        {type: ready, info} or {type: failed, error}
    {id, op: generate, stream, …}                   {id, type: started}, {id, type: text, text}…,
                                                    {id, type: done, value} or {id, type: error, error}
    {id, op: render | check, …}                     the same, without text
    {id, op: cancel}                                the request ends with the error `cancelled`
                                                    {type: alive} about once a second while it works
"""

import dataclasses
import faulthandler
import heapq
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

from agentd.engine.frames import BrokenFrame, Frame, encode, receive_frame
from agentd.engine.settings import FAKE, ModelSettings
from agentd.engine.step import Step
from agentd.errors import AgentdError, Cancelled
from agentd.model import Generation, Message, ModelInfo, Rendered, Request
from agentd.records import Priority

ALIVE_SECONDS = 1.0


class Backend(Protocol):
    """A model inside this process."""

    info: ModelInfo

    def render(self, request: Request) -> Rendered:
        """The exact prompt of a request."""

    def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""

    def generate(self, request: Request) -> Iterator[Step]:
        """Steps; the last carries the generation."""


class Child:
    """Answers the frames of one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._waiting: list[tuple[int, int, Request]] = []  # a heap by priority, then by age
        self._cancelled: set[int] = set()
        self._last_sent = 0.0

    def run(self) -> None:
        """Load the model that the first frame asks for, then serve until the socket closes."""
        first = receive_frame(self._socket)
        if first is None:
            return
        settings = ModelSettings.model_validate(first["settings"])
        threading.Thread(target=self._receive, daemon=True).start()
        try:
            backend = _load(settings)
        except AgentdError as error:
            self._send({"type": "failed", "error": error.to_wire()})
            return
        self._send({"type": "ready", "info": dataclasses.asdict(backend.info)})
        while True:
            self._take(backend, block=not self._waiting)
            if self._waiting:
                _, number, request = heapq.heappop(self._waiting)
                self._generate(backend, number, request)

    def _receive(self) -> None:
        """Move frames from the socket to the queue; end the process with the socket."""
        try:
            while (frame := receive_frame(self._socket)) is not None:
                self._frames.put(frame)
        except (OSError, BrokenFrame) as broken:
            print(f"engine child: {broken}", file=sys.stderr)  # noqa: T201 - the daemon's log
        # The main thread may be deep inside llama.cpp, where no exception reaches it.
        os._exit(0)

    def _send(self, frame: Frame) -> None:
        self._socket.sendall(encode(frame))
        self._last_sent = time.monotonic()

    def _take(self, backend: Backend, *, block: bool) -> None:
        """Look at every frame that has come; with `block`, wait for the first."""
        while True:
            try:
                frame = self._frames.get(block=block)
            except queue.Empty:
                return
            block = False
            number = frame["id"]
            if frame["op"] == "cancel":
                self._cancelled.add(number)
            elif frame["op"] == "generate":
                request = _request(frame)
                heapq.heappush(self._waiting, (int(request.priority), number, request))
            else:
                self._answer(backend, number, frame)

    def _answer(self, backend: Backend, number: int, frame: Frame) -> None:
        self._send({"id": number, "type": "started"})
        try:
            if frame["op"] == "render":
                value: Any = dataclasses.asdict(backend.render(_request(frame)))
            else:
                backend.check_schema(frame["schema"])
                value = None
        except AgentdError as error:
            self._send({"id": number, "type": "error", "error": error.to_wire()})
        else:
            self._send({"id": number, "type": "done", "value": value})

    def _generate(self, backend: Backend, number: int, request: Request) -> None:
        try:
            if number in self._cancelled:
                raise Cancelled
            self._send({"id": number, "type": "started"})
            generation = self._steps(backend, number, request)
        except AgentdError as error:
            self._send({"id": number, "type": "error", "error": error.to_wire()})
        else:
            self._send({"id": number, "type": "done", "value": dataclasses.asdict(generation)})
        # Numbers of requests that have ended mean nothing any more.
        self._cancelled &= {waiting for _, waiting, _ in self._waiting}

    def _steps(self, backend: Backend, number: int, request: Request) -> Generation:
        for step in backend.generate(request):
            self._take(backend, block=False)
            if number in self._cancelled:
                raise Cancelled
            if step.text:
                self._send({"id": number, "type": "text", "text": step.text})
            elif time.monotonic() - self._last_sent > ALIVE_SECONDS:
                self._send({"type": "alive"})
            if step.generation is not None:
                return step.generation
        raise AssertionError("a generation ended without its last step")


def _load(settings: ModelSettings) -> Backend:
    if settings.path == FAKE:
        from agentd.engine.fake import FakeModel

        return FakeModel(settings)
    from agentd.engine.local import LocalModel

    return LocalModel(settings)


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


def main() -> None:
    """Serve the socket whose number is the first argument."""
    faulthandler.enable()
    # Ctrl-C in a terminal reaches the whole process group; the supervisor decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            Child(sock).run()
        except (BrokenPipeError, ConnectionResetError):
            return


if __name__ == "__main__":
    main()
