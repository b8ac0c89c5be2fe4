"""What signals mean to the daemon: SIGTERM and SIGINT stop it, a second one ends it at once, SIGHUP reloads."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator

log = logging.getLogger("agentd.daemon")

STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def heeded(stop: asyncio.Event, reload: Callable[[], None]) -> Iterator[None]:
    """Set `stop` on the first signal to stop, call `reload` on SIGHUP, while the block runs."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        if stop.is_set():
            log.warning("second %s: ending at once", signal.Signals(number).name)
            os._exit(1)
        log.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    for number in STOPPING:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (*STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)
