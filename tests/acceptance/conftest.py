"""Daemons that are stopped when their test ends."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon

MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def make_daemon(home: Path, tmp_path: Path) -> Iterator[MakeDaemon]:
    """Make daemons; the config or the model may be given."""
    made: list[Daemon] = []

    def make(config: str | None = None, model: str = "fake") -> Daemon:
        daemon = Daemon(home, tmp_path / "notes", config, model)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()


@pytest.fixture
def daemon(make_daemon: MakeDaemon) -> Daemon:
    """A running daemon with the fake model."""
    made = make_daemon()
    made.start()
    return made


@pytest.fixture
def rng() -> random.Random:
    """Chance that can be had again: the seed is printed with a failure, and SEED sets it."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
