import asyncio

import pytest

from agentd import ticks
from agentd.ticks import attend, heard_by, tick


def test_a_tick_that_nobody_hears_is_nothing() -> None:
    tick()


async def test_ticks_of_tasks_that_a_duty_makes_are_heard_as_its_own() -> None:
    heard: list[str] = []

    async def inner() -> None:
        tick()

    with heard_by(lambda: heard.append("one")):
        one = asyncio.create_task(inner())
    with heard_by(lambda: heard.append("two")):
        await asyncio.create_task(inner())
    await one
    assert sorted(heard) == ["one", "two"]
    tick()
    assert len(heard) == 2


async def test_attending_ticks_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "SECONDS", 0.001)
    heard: list[None] = []

    async def slow() -> str:
        while len(heard) < 5:
            await asyncio.sleep(0)
        return "done"

    with heard_by(lambda: heard.append(None)):
        assert await attend(slow()) == "done"


async def test_attending_ends_with_its_bound_its_error_or_its_waiter() -> None:
    forever = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await attend(forever, 0.01)
    assert forever.cancelled()

    async def fail() -> None:
        raise ValueError("it went wrong")

    with pytest.raises(ValueError, match="it went wrong"):
        await attend(fail())

    other = asyncio.get_running_loop().create_future()
    waiter = asyncio.create_task(attend(other))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert other.cancelled()


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_comes_as_the_wait_ends_is_not_lost(turns: int) -> None:
    woken = asyncio.Event()

    async def loop() -> None:
        while True:
            woken.clear()
            await attend(woken.wait(), 60)

    looping = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    woken.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    looping.cancel()
    done, _ = await asyncio.wait({looping}, timeout=5)
    assert done
