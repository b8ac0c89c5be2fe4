"""Talk to the daemon over its Unix socket. Raises `NotRunning` where there is none."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from agentd.errors import AgentdError, NotRunning
from agentd.paths import Paths

CONNECT_SECONDS = 5.0


class DaemonClient:
    """One daemon. `seconds` bounds the wait for each part of an answer; None waits for ever."""

    def __init__(self, paths: Paths, seconds: float | None = 30.0) -> None:
        self._socket = paths.socket
        self._timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return self._request("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON that answers a request."""
        return self._request("POST", path, body)

    def stream(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """The events of a long answer, as they come; raises the error that ends it."""
        try:
            with self._open() as http, http.stream("POST", path, json=body, timeout=None) as response:
                if response.is_error:
                    response.read()
                    raise _error(response)
                for line in response.iter_lines():
                    event = json.loads(line)
                    if event["event"] == "error":
                        raise AgentdError.from_wire(event["error"])
                    yield event
        except httpx.TransportError as broken:
            raise _unreachable(broken) from broken

    def _open(self) -> httpx.Client:
        if not self._socket.exists():
            raise NotRunning
        transport = httpx.HTTPTransport(uds=str(self._socket))
        return httpx.Client(transport=transport, base_url="http://agentd", timeout=self._timeout)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        try:
            with self._open() as http:
                response = http.request(method, path, json=body)
        except httpx.TransportError as broken:
            raise _unreachable(broken) from broken
        if response.is_error:
            raise _error(response)
        return response.json()


def _error(response: httpx.Response) -> AgentdError:
    try:
        return AgentdError.from_wire(response.json())
    except ValueError:
        return AgentdError(f"the daemon answered {response.status_code}", hint="agentd status")


def _unreachable(broken: httpx.TransportError) -> NotRunning:
    if isinstance(broken, (httpx.ConnectError, httpx.ConnectTimeout)):
        return NotRunning()
    return NotRunning(f"the daemon went away: {broken}", hint="agentd status")
