"""A home as the doctor finds it, and how bad what was found is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agentd.doctor.diagnosis import Diagnosis
from agentd.doctor.home import Home, find_home
from agentd.paths import Paths

FindHome = Callable[..., Home]
FAKE = "models: {main: {path: fake}}\n"


@pytest.fixture
def find(paths: Paths) -> FindHome:
    """The home with this config; `given` stands for what is found otherwise."""

    def find(config: str | None = FAKE, **given: Any) -> Home:
        if config is not None:
            paths.config.write_text(config)
        return replace(find_home(paths, datetime.now(UTC), None, None), **given)

    return find


def told(found: Iterator[Diagnosis]) -> dict[str, tuple[str, str, str]]:
    """By what it is about: level, words and next command; of two about the same, the worse."""
    order = ["ok", "warning", "error"]
    rows = sorted(found, key=lambda one: order.index(one.level))
    return {one.about: (one.level.value, one.told, one.hint) for one in rows}


def levels(found: Iterator[Diagnosis]) -> dict[str, str]:
    return {about: level for about, (level, _, _) in told(found).items()}
