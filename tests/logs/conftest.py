from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.following import Following


@pytest.fixture
def following() -> Iterator:
    made: list[Following] = []

    def make(*patterns: object, **options: object) -> Following:
        made.append(Following(*patterns, **options))
        return made[-1]

    yield make
    for one in made:
        one.follower.close()


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"one\ntwo\n")
    return path
