"""Daemons that are stopped when their test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon

MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def make_daemon(home: Path, tmp_path: Path) -> Iterator[MakeDaemon]:
    """Make daemons; the config may be given."""
    made: list[Daemon] = []

    def make(config: str | None = None) -> Daemon:
        daemon = Daemon(home, tmp_path / "notes", config)
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
