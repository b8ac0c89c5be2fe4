"""Tell the service manager how the daemon is: `sd_notify`, and a duty that speaks it.

The protocol is a datagram of `KEY=VALUE` lines to the socket that `NOTIFY_SOCKET` names (sd_notify(3)); without
one, nothing is said. What is worth saying is decided by what the duty is given.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from agentd.ticks import tick

log = logging.getLogger("agentd.daemon")

LOOK_SECONDS = 1.0  # how often the state is looked at before the daemon is ready
SAY_SECONDS = 10.0  # … and afterwards
EXTEND_SECONDS = 60.0  # that a start may take from now on; said anew while it goes on


@dataclass(frozen=True, slots=True)
class Outlook:
    """How the daemon is, in what a service manager understands."""

    ready: bool  # database, first scans and models are there, or known not to come
    alive: bool  # every duty has ticked
    told: str  # one line for people


class ServiceManager:
    """The other end of `NOTIFY_SOCKET`."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # an abstract socket
        usec = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._ready = False
        self.watchdog_seconds = int(usec) / 1e6 if usec.isdigit() and meant else None

    @property
    def listens(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def say(self, **values: str | int) -> bool:
        """Send a state, and whether it was taken: one that is gone or does not listen is no fault of ours."""
        if not self._address:
            return False
        told = "\n".join(f"{key}={_one_line(value)}" for key, value in values.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # its queue may be full
            try:
                sock.sendto(told.encode(), self._address)
            except OSError as broken:
                log.debug("the service manager cannot be told: %s", broken)
                return False
        return True

    def say_ready(self) -> bool:
        """The start is through; whether that was taken."""
        self._ready = self.say(READY=1)
        return self._ready

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """The block is a reload; one that happens during the start is nothing to tell."""
        if self._ready:
            self.say(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        try:
            yield
        finally:
            if self._ready:
                self.say(READY=1)


async def keep_told(manager: ServiceManager, look: Callable[[], Awaitable[Outlook]]) -> None:
    """Tell of the start until it is through, then that the daemon lives, until cancelled."""
    said, ready = "", False
    pause = min(SAY_SECONDS, (manager.watchdog_seconds or SAY_SECONDS) / 3)
    while True:
        tick()
        outlook = await look()
        if outlook.told != said and manager.say(STATUS=outlook.told):
            said = outlook.told
        if outlook.alive:
            manager.say(WATCHDOG=1)
        if outlook.ready and not ready:
            ready = manager.say_ready()
        elif not ready:
            manager.say(EXTEND_TIMEOUT_USEC=int(EXTEND_SECONDS * 1e6))
        await asyncio.sleep(pause if ready else LOOK_SECONDS)


def _one_line(value: str | int) -> str:
    return " ".join(str(value).split())
