"""Places where people are told, for tests: a real HTTP server, and programs that note what they were given."""

import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

_PROGRAM = """\
#!{python}
import json, os, sys
given = {{"args": sys.argv[1:], "stdin": sys.stdin.read()}}
with open({record!r}, "a") as file:
    file.write(json.dumps(given) + "\\n")
if os.path.exists({broken!r}):
    sys.exit("nobody is at the desktop")
"""


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]  # by name in small letters
    body: Any


@dataclass
class Receiver:
    """An HTTP server on this machine; it answers with `status`, and not at all while it is `silent`."""

    status: int = 200
    received: list[Received] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)  # set: it keeps every request waiting …
    _released: threading.Event = field(default_factory=threading.Event)

    def answer(self) -> None:
        """… until now."""
        self.silent.clear()
        self._released.set()

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, json.loads(raw)))
                if receiver.silent.is_set():
                    receiver._released.wait(60)
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *told: Any) -> None:
                """Nothing: the test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class Program:
    """A program that writes down its arguments and its input, and fails while `broken` is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = path.with_suffix(".jsonl")
        self.broken = path.with_suffix(".broken")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_PROGRAM.format(python=sys.executable, record=str(self._record), broken=str(self.broken)))
        path.chmod(0o755)

    @property
    def calls(self) -> list[Any]:
        """What it was given, each time."""
        if not self._record.exists():
            return []
        return [json.loads(line) for line in self._record.read_text().splitlines()]
