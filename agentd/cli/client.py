"""Talk to the daemon over its Unix socket. Raises `NotRunning` where nobody listens, and only then.

A connection that breaks later is `DaemonFailed`: the daemon may have done what it was asked, and whoever takes
that for "no daemon" does it twice.

httpcore is the transport inside httpx, by the same people; what httpx puts around it (auth, cookies, redirects,
a command line of its own) is not needed for one local socket and costs every command 75 ms.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpcore

from agentd.errors import AgentdError, DaemonFailed, NotRunning
from agentd.paths import Paths

CONNECT_SECONDS = 5.0
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


class DaemonClient:
    """One daemon. `seconds` bounds the wait for each part of an answer; a stream may take as long as it likes."""

    def __init__(self, paths: Paths, seconds: float = 30.0) -> None:
        self._socket = paths.socket
        self._seconds = seconds

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return self._request("GET", path, None)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON that answers a request."""
        return self._request("POST", path, body)

    def stream(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """The parts of a long answer, as they come; raises the error that ends it."""
        try:
            with self._open() as pool, pool.stream("POST", _url(path), **_content(body, None)) as response:
                if response.status >= 400:
                    raise _error(response.status, response.read())
                for line in _lines(response.iter_stream()):
                    part = json.loads(line)
                    if part["type"] == "error":
                        raise AgentdError.from_wire(part["error"])
                    yield part
        except _BROKEN as broken:
            raise _unreachable(broken) from broken

    def _request(self, method: str, path: str, body: Any) -> Any:
        try:
            with self._open() as pool:
                response = pool.request(method, _url(path), **_content(body, self._seconds))
        except _BROKEN as broken:
            raise _unreachable(broken) from broken
        if response.status >= 400:
            raise _error(response.status, response.content)
        return json.loads(response.content)

    def _open(self) -> httpcore.ConnectionPool:
        if not self._socket.exists():
            raise NotRunning
        return httpcore.ConnectionPool(uds=str(self._socket))


def _url(path: str) -> str:
    return f"http://agentd{path}"


def _content(body: Any, seconds: float | None) -> dict[str, Any]:
    """Headers, content and time bounds of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    return {
        "headers": {"Host": "agentd", "Content-Type": "application/json", "Content-Length": str(len(content))},
        "content": content,
        "extensions": {
            "timeout": {"connect": CONNECT_SECONDS, "read": seconds, "write": seconds, "pool": seconds}
        },
    }


def _lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _error(status: int, content: bytes) -> AgentdError:
    try:
        return AgentdError.from_wire(json.loads(content))
    except (ValueError, AttributeError):
        return AgentdError(f"the daemon answered {status}", hint="agentd status")


def _unreachable(broken: Exception) -> AgentdError:
    if isinstance(broken, (httpcore.ConnectError, httpcore.ConnectTimeout)):
        return NotRunning()
    told = "did not answer in time" if isinstance(broken, httpcore.TimeoutException) else "went away"
    return DaemonFailed(f"the daemon {told}; what it was asked may still be done", hint="agentd jobs list")
