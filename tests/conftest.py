"""What every test gets: a home of its own, and no trace of the user's."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from agentd.paths import Paths, find_paths
from tests.service.stand_in import StandIn

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


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """systemctl and its kin, in whose place a program notes how it is called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return StandIn(folder)
