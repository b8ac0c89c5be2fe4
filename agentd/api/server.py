"""uvicorn on a Unix socket that we bind: mode 0600 in a 0700 folder, same user only, signals stay ours.

uvicorn's own `uds=` makes the socket 0666, takes over SIGTERM and lets a client drip its header for ever.
Routes are in `app`.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentd.api.complaints import Once
from agentd.ticks import tick

log = logging.getLogger("agentd.api")
# Whoever can open one connection can open thousands: neither our complaints nor uvicorn's are a line for each.
for _log in (log, logging.getLogger("uvicorn.error")):
    _log.addFilter(Once())

HEADER_SECONDS = 10.0
BODY_SECONDS = 60.0  # for all of it
READ_SECONDS = 60.0
BACKLOG = 128  # connections that wait to be accepted
TICK_SECONDS = 10


@contextlib.contextmanager
def bound_socket(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, removed afterwards. The caller holds the home's lock."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            sock.bind(os.fspath(path))
        finally:
            os.umask(before)
        # From here on a client waits for its answer instead of being refused.
        sock.listen(BACKLOG)
        yield sock
    finally:
        sock.close()
        path.unlink(missing_ok=True)


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=SameUserProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=2,
                callback_notify=_tick,
                timeout_notify=TICK_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Not ours to take: the supervisor decides when the daemon ends."""
        yield


async def _tick() -> None:
    tick()


class SameUserProtocol(H11Protocol):
    """HTTP for the daemon's own user.

    Every request's header must come within HEADER_SECONDS. A client that does not read what it asked for stops
    whoever writes it, and is cut off after READ_SECONDS: that ends the work, too.
    """

    _awaited: object = None  # the state of h11 for whose end the timer waits
    _timer: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse other users before a byte is read."""
        super().connection_made(transport)
        user = peer_user(transport.get_extra_info("socket"))
        if user != os.getuid():
            log.warning("refused a connection of user %s", user)
            transport.abort()
            return
        self._arm(h11.IDLE)

    def data_received(self, data: bytes) -> None:
        """Read on; the header's time counts until a request is there, and the body's until all of it is."""
        super().data_received(data)
        state = self.conn.their_state
        if state is not self._awaited:
            self._disarm()
            self._arm(state)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers with the connection."""
        self._disarm()
        self._unstick()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More was written than the client has read, by what a buffer holds."""
        super().pause_writing()
        self._stuck = self.loop.call_later(READ_SECONDS, self._give_up)

    def resume_writing(self) -> None:
        """The client has read on."""
        self._unstick()
        super().resume_writing()

    def _give_up(self) -> None:
        log.warning("closed a connection whose client did not read for %g s", READ_SECONDS)
        self.transport.abort()

    def _unstick(self) -> None:
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None

    def _arm(self, state: object) -> None:
        self._awaited = state
        if state is h11.IDLE:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._expire, "no request", HEADER_SECONDS)
        elif state is h11.SEND_BODY:
            self._timer = self.loop.call_later(BODY_SECONDS, self._expire, "half a request", BODY_SECONDS)

    def _expire(self, what: str, seconds: float) -> None:
        log.warning("closed a connection that sent %s within %g s", what, seconds)
        self.transport.abort()

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def peer_user(sock: socket.socket) -> int:
    """The user id at the other end, as the kernel knows it."""
    if sys.platform == "darwin":
        # struct xucred: version, uid, … (LOCAL_PEERCRED of SOL_LOCAL)
        raw = sock.getsockopt(0, 1, struct.calcsize("2I"))
        return int(struct.unpack("2I", raw[:8])[1])
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])
