"""Duties: the long-running parts of the daemon. One that fails is started again; the others do not notice."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

log = logging.getLogger("agentd.daemon")

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 60.0
STEADY_SECONDS = 60.0  # a duty that ran so long starts its backoff anew


@dataclass(slots=True)
class Duty:
    """One duty and how it fares, for `agentd status`."""

    name: str
    run: Callable[[], Awaitable[None]]
    restarts: int = 0
    error: str | None = None  # why it was last started again


async def supervise(duty: Duty) -> None:
    """Run a duty until it returns by itself or is cancelled; start it again, later each time, when it fails.

    A bare TaskGroup would end every duty with the first that fails.
    """
    backoff = FIRST_BACKOFF
    while True:
        started = time.monotonic()
        try:
            return await duty.run()
        except Exception as failure:
            if time.monotonic() - started > STEADY_SECONDS:
                backoff = FIRST_BACKOFF
            duty.restarts += 1
            duty.error = f"{type(failure).__name__}: {failure}"
            log.exception("duty %s failed; it starts again in %.1f s", duty.name, backoff)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, LAST_BACKOFF)
