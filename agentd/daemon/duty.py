"""Duties: the long-running parts of the daemon. One that fails is started again; the others do not notice."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field

from agentd.ticks import heard_by

log = logging.getLogger("agentd.daemon")

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 60.0
STEADY_SECONDS = 60.0  # a duty that ran so long starts its backoff anew
# A duty that failed so often within so many seconds is in trouble; less often, starting it again was enough.
TROUBLE_FAILURES, TROUBLE_SECONDS = 3, 600.0
END_SECONDS = 10.0  # after which a duty is cancelled again
STUCK_SECONDS = 120.0  # without a tick, which is twice the longest pause between two


@dataclass(slots=True)
class Duty:
    """One duty and how it fares, for `agentd status`."""

    name: str
    run: Callable[[], Awaitable[None]]
    restarts: int = 0
    error: str | None = None  # why it was last started again
    failed: deque[float] = field(default_factory=lambda: deque(maxlen=TROUBLE_FAILURES))  # by `time.monotonic`
    ended: bool = False  # it returned by itself, and needs no ticks any more
    _ticked: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """It goes on."""
        self._ticked = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since it last gave a sign of life; 0 once it has ended by itself."""
        return 0.0 if self.ended else time.monotonic() - self._ticked

    @property
    def stuck(self) -> bool:
        """Whether it was silent for too long."""
        return self.silence > STUCK_SECONDS

    def in_trouble(self, now: float) -> bool:
        """Whether starting it again does not help; `now` is by `time.monotonic`."""
        return len(self.failed) == TROUBLE_FAILURES and now - self.failed[0] <= TROUBLE_SECONDS


class Duties:
    """Duties that are started and ended together, or one by one by their names."""

    def __init__(self) -> None:
        self._running: dict[Hashable, tuple[Duty, asyncio.Task[None]]] = {}

    def __iter__(self) -> Iterator[Duty]:
        return iter([duty for duty, _ in self._running.values()])

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs them."""
        return [task for _, task in self._running.values()]

    def start(self, key: Hashable, run: Callable[[], Awaitable[None]], name: str = "") -> None:
        """Let a duty run under `supervise`, unless there is one of this key; it is its name, too, by default."""
        if key not in self._running:
            duty = Duty(name or str(key), run)
            self._running[key] = duty, asyncio.create_task(supervise(duty), name=duty.name)

    async def end(self, keys: Collection[Hashable] | None = None) -> None:
        """Cancel those of these keys, by default all, and see them out."""
        ending = [self._running.pop(key)[1] for key in list(self._running) if keys is None or key in keys]
        for task in ending:
            task.cancel()
        pending = set(ending)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=END_SECONDS)
            for task in pending:
                # Whatever it called has swallowed the cancellation, or takes its time.
                log.warning("duty %s has not ended yet", task.get_name())
                task.cancel()


async def supervise(duty: Duty) -> None:
    """Run a duty until it returns by itself or is cancelled; start it again, later each time, when it fails.

    A bare TaskGroup would end every duty with the first that fails.
    """
    backoff = FIRST_BACKOFF
    with heard_by(duty.tick):
        while True:
            started = time.monotonic()
            duty.tick()
            try:
                await duty.run()
            except Exception as failure:
                if time.monotonic() - started > STEADY_SECONDS:
                    backoff = FIRST_BACKOFF
                duty.restarts += 1
                duty.failed.append(time.monotonic())
                duty.error = f"{type(failure).__name__}: {failure}"
                log.exception("duty %s failed; it starts again in %.1f s", duty.name, backoff)
            else:
                duty.ended = True
                return
            duty.tick()
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)
