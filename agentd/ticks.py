"""Signs of life: a duty ticks as it goes on, so that the supervisor can tell one that is stuck.

Who listens is found in the context of the running task, so that a trigger or an engine ticks without knowing the
daemon; where nobody listens, a tick is nothing. How long a silence is too long is not known here.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

SECONDS = 10.0  # how often `attend` ticks

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


def tick() -> None:
    """Say that the duty to which the running code belongs goes on."""
    if listener := _listener.get():
        listener()


@contextlib.contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Let `listener` hear the ticks of the block, and of the tasks that are made in it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


async def attend(awaited: Awaitable[T], seconds: float | None = None) -> T:
    """Wait for what may take any time and is nobody's fault (a hint, a slow file system), and tick meanwhile.

    Raises `TimeoutError` after `seconds`. What is awaited is cancelled with its waiter. Before Python 3.12
    `asyncio.wait_for` loses a cancellation that comes just when the wait is over; this does not.
    """
    task = asyncio.ensure_future(awaited)
    try:
        async with asyncio.timeout(seconds):
            while True:
                tick()
                done, _ = await asyncio.wait({task}, timeout=SECONDS)
                if done:
                    return task.result()
    finally:
        task.cancel()
