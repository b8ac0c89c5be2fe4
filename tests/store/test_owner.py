import subprocess
import sys

import psutil
import pytest

from agentd.store.owner import current_owner, is_alive
from tests.waiting import wait_for


def owner_of_another_process() -> tuple[subprocess.Popen[str], str]:
    code = "from agentd.store.owner import current_owner; print(current_owner(), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_an_owner_lives_as_long_as_its_process() -> None:
    process, owner = owner_of_another_process()
    with process:
        assert is_alive(owner)
        boot, _, started = current_owner().rsplit(":", 2)
        assert not is_alive(f"{boot}:{process.pid}:{started}"), "the pid of one and the start of another"
        process.kill()
        # Dead and not yet waited for, it is a zombie: it does nothing any more.
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert not is_alive(owner)
    assert not is_alive(owner)


def test_a_clock_that_is_set_does_not_make_the_living_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = current_owner()
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
    monkeypatch.setattr("psutil.Process.create_time", lambda _: 12345.0)
    if sys.platform == "linux":
        assert is_alive(owner)


@pytest.mark.parametrize("index", [0, 2])
def test_another_boot_or_another_start_is_another_owner(index: int) -> None:
    parts = current_owner().rsplit(":", 2)
    assert is_alive(":".join(parts))
    parts[index] = "1"
    assert not is_alive(":".join(parts))


@pytest.mark.parametrize("owner", ["", "x", "a:b:c", "::", "boot:99999999999999999999:1"])
def test_what_is_no_owner_is_not_alive(owner: str) -> None:
    assert not is_alive(owner)
