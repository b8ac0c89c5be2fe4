"""What every test gets: a home of its own, and no trace of the user's."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from agentd.paths import Paths, find_paths

# A slow machine is no failure.
settings.register_profile("agentd", deadline=None)
settings.load_profile("agentd")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AGENTD_HOME in a temporary folder; every other AGENTD_* variable is gone."""
    for name in [name for name in os.environ if name.startswith("AGENTD_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("AGENTD_HOME", str(folder))
    return folder


@pytest.fixture
def paths(home: Path) -> Paths:
    """The paths of the test's home, with their folders."""
    found = find_paths()
    found.make_folders()
    return found
