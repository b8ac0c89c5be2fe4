import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.daemon import notify
from agentd.daemon.notify import Outlook, ServiceManager, keep_told
from tests.waiting import wait_until


class Listener:
    """The service manager's socket, for tests."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)
        self.heard: list[dict[str, str]] = []

    def hear(self) -> list[dict[str, str]]:
        while True:
            try:
                said = self.sock.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in said.split("\n")))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "notify"))
    yield made
    made.sock.close()


@pytest.fixture
def manager(listener: Listener, tmp_path: Path) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"})


def test_without_a_socket_nothing_is_said() -> None:
    manager = ServiceManager({})
    manager.say(READY=1)
    assert (manager.listens, manager.watchdog_seconds) == (False, None)


def test_a_state_is_lines_and_a_text_of_several_is_one(manager: ServiceManager, listener: Listener) -> None:
    manager.say(STATUS="model main:\nno such file\r\n", WATCHDOG=1)
    assert listener.hear() == [{"STATUS": "model main: no such file", "WATCHDOG": "1"}]


def test_an_abstract_socket_is_found() -> None:
    name = f"agentd-test-{os.getpid()}"
    abstract = Listener(f"\0{name}")
    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).say(READY=1)
    assert abstract.hear() == [{"READY": "1"}]
    abstract.sock.close()


def test_a_service_manager_that_is_gone_is_no_fault_of_ours(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).say(READY=1)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_ours_only_where_it_means_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert ServiceManager(environment).watchdog_seconds == seconds


def test_a_service_manager_that_does_not_listen_holds_nobody_up(
    manager: ServiceManager, listener: Listener
) -> None:
    said = 0
    while manager.say(WATCHDOG=1):
        said += 1
        assert said < 100_000
    assert len(listener.hear()) == said
    assert manager.say_ready()


async def test_a_start_is_extended_until_it_is_through_and_a_dead_duty_silences_the_watchdog(
    manager: ServiceManager, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(notify, "SAY_SECONDS", 0.001)
    outlook = Outlook(ready=False, alive=True, told="starting: model main is loading")

    async def look() -> Outlook:
        return outlook

    def heard(key: str) -> int:
        return sum(key in said for said in listener.hear())

    telling = asyncio.create_task(keep_told(manager, look))
    await wait_until(lambda: heard("EXTEND_TIMEOUT_USEC") > 2)
    assert heard("READY") == 0
    assert [said for said in listener.heard if "STATUS" in said] == [{"STATUS": "starting: model main is loading"}]
    outlook = Outlook(ready=True, alive=True, told="ready; nothing to do")
    await wait_until(lambda: heard("READY") == 1 and heard("STATUS") == 2)
    extended, watched = heard("EXTEND_TIMEOUT_USEC"), heard("WATCHDOG")
    await wait_until(lambda: heard("WATCHDOG") > watched + 2)
    assert (heard("EXTEND_TIMEOUT_USEC"), heard("READY")) == (extended, 1)
    outlook = Outlook(ready=True, alive=False, told="a duty is stuck")
    await wait_until(lambda: heard("STATUS") == 3)
    watched = heard("WATCHDOG")
    outlook = Outlook(ready=True, alive=False, told="still")
    await wait_until(lambda: heard("STATUS") == 4)
    assert heard("WATCHDOG") == watched
    telling.cancel()
    await asyncio.wait({telling})


def test_a_reload_is_told_with_its_time_and_ends_ready(manager: ServiceManager, listener: Listener) -> None:
    with manager.reloading():
        pass
    assert listener.hear() == [], "during the start it would say that the start is through"
    manager.say_ready()
    with pytest.raises(ValueError, match="broken"), manager.reloading():
        raise ValueError("broken")
    ready, reloading, again = listener.hear()
    assert (ready, again) == ({"READY": "1"}, {"READY": "1"})
    assert reloading.pop("RELOADING") == "1"
    assert int(reloading.pop("MONOTONIC_USEC")) > 0
