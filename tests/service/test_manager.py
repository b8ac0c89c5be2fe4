"""What is said where systemd is not there, or does not do what it was told."""

import sys
from pathlib import Path

import pytest

from agentd.errors import ServiceError
from agentd.service.manager import Systemd
from tests.service.stand_in import StandIn

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd")


@pytest.mark.parametrize(
    "said",
    [
        "Failed to connect to bus: No medium found",
        "System has not been booted with systemd as init system (PID 1). Can't operate.",
    ],
)
def test_a_manager_that_is_not_there_is_explained(stand_in: StandIn, said: str) -> None:
    stand_in.answer(("show", said, 1))
    with pytest.raises(ServiceError, match=r"systemd cannot be reached: .*logged in") as caught:
        Systemd().state()
    assert "loginctl enable-linger" in caught.value.hint
    assert "agentd start --detach" in caught.value.hint


def test_a_start_that_fails_points_to_the_log(stand_in: StandIn) -> None:
    stand_in.answer(("restart", "Job for agentd.service failed because of a fatal signal.", 1))
    with pytest.raises(ServiceError, match="fatal signal") as caught:
        Systemd().start()
    assert caught.value.hint == "agentd service logs"


def test_a_machine_without_systemd_is_told_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="systemctl is not installed") as caught:
        Systemd().state()
    assert caught.value.hint == "agentd start --detach"
