import asyncio
import logging

import pytest

from agentd.daemon import duty
from agentd.daemon.duty import Duty, supervise
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "FIRST_BACKOFF", 0.001)


async def test_a_duty_that_fails_is_started_again_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise ValueError(f"run {runs}")

    failing = Duty("scan", run)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(supervise(failing), 30)
    assert (runs, failing.restarts, failing.error) == (4, 3, "ValueError: run 3")
    assert "ValueError: run 1" in caplog.text


async def test_each_failure_waits_longer_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(duty, "FIRST_BACKOFF", 1.0)
    monkeypatch.setattr(duty, "LAST_BACKOFF", 5.0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> None:
        if len(waits) < 5:
            raise ValueError("again")

    monkeypatch.setattr("agentd.daemon.duty.asyncio.sleep", sleep)
    await supervise(Duty("scan", run))
    assert waits == [1, 2, 4, 5, 5]
    waits.clear()
    monkeypatch.setattr(duty, "STEADY_SECONDS", -1.0)
    await supervise(Duty("scan", run))
    assert waits == [1] * 5, "after a steady run the backoff begins anew"


async def test_one_failing_duty_does_not_disturb_another() -> None:
    async def fail() -> None:
        raise ValueError("always")

    bad, good = Duty("bad", fail), Duty("good", asyncio.Event().wait)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(supervise(each)) for each in (bad, good)]
    await wait_until(lambda: bad.restarts > 3)
    assert (good.restarts, tasks[1].done()) == (0, False)
    for task in tasks:
        task.cancel()
    assert {type(ended) for ended in await asyncio.gather(*tasks, return_exceptions=True)} == {
        asyncio.CancelledError
    }
