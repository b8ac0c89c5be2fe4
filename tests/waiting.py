"""Wait on a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def wait_for(condition: Callable[[], T], seconds: float = 30.0, what: str = "") -> T:
    """The first true value of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what or condition}")
        time.sleep(POLL_SECONDS)
    return found


async def wait_until(condition: Callable[[], T | Awaitable[T]], seconds: float = 30.0, what: str = "") -> T:
    """`wait_for` inside an event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what or condition}")
        await asyncio.sleep(POLL_SECONDS)
