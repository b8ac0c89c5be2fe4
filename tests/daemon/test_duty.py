import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import pytest

from agentd.daemon import duty
from agentd.daemon.duty import Duties, Duty, supervise
from agentd.ticks import tick
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
    third = failing.failed[-1]
    assert failing.in_trouble(third), "three times is once too often"
    assert not failing.in_trouble(failing.failed[0] + duty.TROUBLE_SECONDS + 1)


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


async def test_a_duty_that_gives_no_sign_of_life_is_stuck_until_it_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def run() -> None:
        await go_on.wait()
        while True:
            tick()
            await asyncio.sleep(0)

    duties = Duties()
    duties.start("watch", run)
    (one,) = duties
    assert not one.stuck
    monkeypatch.setattr(duty, "STUCK_SECONDS", 0.1)
    await wait_until(lambda: one.stuck)
    go_on.set()
    await wait_until(lambda: not one.stuck)
    await duties.end()


async def test_a_duty_that_has_ended_by_itself_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        return

    duties = Duties()
    duties.start("once", run)
    (one,) = duties
    await wait_until(lambda: one.ended)
    assert one.silence == 0.0
    await duties.end()


async def test_duties_are_ended_by_their_keys_and_started_once_each() -> None:
    started: list[str] = []

    def waiting(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            started.append(name)
            await asyncio.Event().wait()

        return run

    duties = Duties()
    for name in ("a", "b", "a"):
        duties.start(name, waiting(name), f"duty {name}")
    await wait_until(lambda: len(started) == 2)
    assert [each.name for each in duties] == ["duty a", "duty b"]
    await duties.end(["a", "unknown"])
    duties.start("a", waiting("a"))
    await wait_until(lambda: started == ["a", "b", "a"])
    assert [each.name for each in duties] == ["duty b", "a"]
    await duties.end()
    assert list(duties) == []


async def test_a_duty_that_swallows_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duty, "END_SECONDS", 0.01)
    began = asyncio.Event()

    async def run() -> None:
        for _ in range(2):
            began.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    duties = Duties()
    duties.start("deaf", run)
    await began.wait()
    await duties.end()
    assert "duty deaf has not ended yet" in caplog.text
