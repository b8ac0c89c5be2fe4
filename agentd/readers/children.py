"""Reader children, kept warm: started when a file needs one, replaced after many files or a bad one.

Everything here blocks and belongs in a worker thread. What a file is was found out before.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import BinaryIO

from agentd.errors import AgentdError, InputError, ReaderFailed
from agentd.frames import BrokenFrame, encode, receive_frame
from agentd.readers.content import Content

MEMORY_BYTES = 2 * 1024**3  # of address space; a warm child has mapped a quarter of it
STEP_SECONDS = 60.0  # for a file, or for each page of one that has pages
TOTAL_SECONDS = 3600.0
FILES = 200  # that one child reads; whatever its libraries leak goes with it
AT_ONCE = 2


class Children:
    """At most `AT_ONCE` children; whoever comes when all are busy waits."""

    def __init__(
        self, memory: int = MEMORY_BYTES, step: float = STEP_SECONDS, total: float = TOTAL_SECONDS
    ) -> None:
        self._memory, self._step, self._total = memory, step, total
        self._free = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False

    def read(self, kind: str, file: BinaryIO, name: str) -> Content:
        """The content of an open file; raises a kind of `InputError`, `ReaderFailed` for a child that died."""
        with self._free:
            child = self._take()
            try:
                content = child.read(kind, file, name, self._step, self._total)
            except ReaderFailed:
                child.close()
                raise
            except InputError:
                self._give_back(child)
                raise
            except BaseException:
                child.close()
                raise
            self._give_back(child)
            return content

    def close(self) -> None:
        """End the children that have nothing to do, and the others when they have done it."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()

    def _take(self) -> "_Child":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                child.close()
        return _Child(self._memory)

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            if child.files < FILES and not self._closed:
                self._idle.append(child)
                return
        child.close()


class _Child:
    """One process and the socket to it."""

    def __init__(self, memory: int) -> None:
        self.files = 0
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: no module is ever taken from the folder that a command happens to run in.
                [sys.executable, "-P", "-m", "agentd.readers.child", str(theirs.fileno()), str(memory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def read(self, kind: str, file: BinaryIO, name: str, step: float, total: float) -> Content:
        """Send an open file, wait for its text."""
        self.files += 1
        deadline = time.monotonic() + total
        try:
            socket.send_fds(self._socket, [b"f"], [file.fileno()])
            self._socket.sendall(encode({"kind": kind, "name": name}))
            while True:
                self._socket.settimeout(max(min(step, deadline - time.monotonic()), 0.001))
                frame = receive_frame(self._socket)
                if frame is None:
                    raise ReaderFailed(f"{name} ended its reader, which {self._how()}")
                match frame["type"]:
                    case "content":
                        return Content.from_wire(frame["content"])
                    case "error":
                        raise AgentdError.from_wire(frame["error"])
        except TimeoutError as late:
            raise ReaderFailed(f"{name} took its reader longer than {step:g} s for one step") from late
        except (OSError, BrokenFrame, KeyError, TypeError) as broken:
            raise ReaderFailed(f"{name} ended its reader, which {self._how()}") from broken

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _how(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "said nothing that makes sense"
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
