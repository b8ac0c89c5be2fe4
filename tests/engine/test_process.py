"""The engine child as a real process: it is asked, cancelled, and dies in every way."""

import asyncio
import itertools
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import BadSchema, EngineCrashed, EngineTimeout, ModelUnavailable, TooLong
from agentd.model import Generation
from agentd.records import Priority
from tests.engine.conftest import FAKE, LONG, SMALL, Clock, ask, begin, outcome, running
from tests.waiting import wait_until


async def test_no_module_comes_from_the_folder_that_a_command_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "numpy", "agentd"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    async with running(FAKE) as client:
        await client.wait_loaded()
        assert client.info.fake


async def test_a_child_answers_tells_and_streams(client: EngineClient) -> None:
    assert client.info.path == str(find_weights(SMALL))
    assert client.pid not in (None, os.getpid())
    said: list[str] = []
    generation = await client.generate(ask("Hello", max_tokens=5), said.append)
    assert "".join(said) == generation.text
    assert (await client.render(ask("Hello").messages)).tokens == generation.tokens_in


async def test_errors_of_the_child_arrive_as_what_they_are(client: EngineClient) -> None:
    with pytest.raises(TooLong, match=r"needs .* tokens, room for 1,014"):
        await client.generate(ask("pear " * 3000, max_tokens=10))
    with pytest.raises(BadSchema):
        await client.check_schema({"type": "nonsense"})
    with pytest.raises(EngineTimeout):
        await client.generate(ask("Tell me a story.", max_tokens=800, seconds=0.2))
    await client.check_schema({"type": "string"})
    assert (client.restarts, client.loaded) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
async def test_a_death_costs_the_request_that_was_begun_and_no_other(number: signal.Signals) -> None:
    async with running(SMALL.model_copy(update={"parallel": 1})) as client:
        await client.wait_ready()
        begun = await begin(client)
        waiting = asyncio.create_task(client.generate(ask("Hello", max_tokens=3)))
        await asyncio.sleep(0)  # it is sent
        await client.render(LONG.messages)  # the child has seen what was sent before
        dead = client.pid
        assert dead is not None
        os.kill(dead, number)
        crashed, unheard = await asyncio.gather(outcome(begun), outcome(waiting))
        assert isinstance(crashed, EngineCrashed)
        assert f"died of {number.name}" in str(crashed)
        assert isinstance(unheard, ModelUnavailable)
        await wait_until(lambda: client.loaded, what="a new child")
        assert client.pid != dead
        assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3


STAGES = {
    # What is asked, by twelve at once, and how it is known that the child has come so far.
    "loading": (ask("Hello"), lambda client, said: client.pid),
    "prefill": (ask("pear " * 600, max_tokens=100), lambda client, said: client.load.running),
    "decode": (LONG, lambda client, said: len(said) > 3),
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
@pytest.mark.parametrize("stage", STAGES)
async def test_whatever_the_child_is_at_when_it_fails_every_request_ends(
    fast: None, clock: Clock, stage: str, number: signal.Signals
) -> None:
    request, reached = STAGES[stage]
    async with running(SMALL.model_copy(update={"keep_alive": 0.1})) as client:
        await client.wait_loaded()
        await wait_until(lambda: client.pid is None, what="a model that comes back for who asks")
        said = set[int]()
        asked = [
            asyncio.create_task(client.generate(request, lambda _, index=index: said.add(index)))  # type: ignore[misc]
            for index in range(12)
        ]
        await wait_until(lambda: reached(client, said), 60, stage)
        failing = client.pid
        assert failing is not None
        os.kill(failing, number)
        if number == signal.SIGSTOP:
            # What it did just before is seen once more, as progress.
            await wait_until(lambda: clock.pass_stall() or client.pid != failing, what="the end of the patience")
        ends = await asyncio.wait_for(asyncio.gather(*map(outcome, asked)), 60)
        blamed = {index for index, end in enumerate(ends) if isinstance(end, EngineCrashed)}
        assert said <= blamed, "what had begun to answer had begun"
        assert bool(blamed) == (stage != "loading")
        assert {type(end) for end in ends} <= {EngineCrashed, ModelUnavailable}
        await client.load_now()
        assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
        assert client.restarts == 1


async def test_a_child_that_stands_still_can_be_unloaded(fast: None) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        # More than the socket holds: the rest waits in this process for a child that never reads it.
        asked = [asyncio.create_task(client.generate(ask("pear " * 1_000_000))) for _ in range(3)]
        await asyncio.sleep(0)  # they are sent
        await asyncio.wait_for(client.unload(), 30)
        assert {type(end) for end in await asyncio.gather(*map(outcome, asked))} == {ModelUnavailable}


@pytest.mark.parametrize("settings", [SMALL, FAKE], ids=["starter", "fake"])
async def test_a_storm_of_cancels_ends_every_request(fast: None, settings: ModelSettings) -> None:
    rng = random.Random(5)
    async with running(settings) as client:
        await client.wait_loaded()
        pid = client.pid
        asked = [
            asyncio.create_task(client.generate(ask("Hello", max_tokens=rng.randint(1, 12)))) for _ in range(500)
        ]
        for task in rng.sample(asked, 470):
            if rng.random() < 0.1:
                await client.render(LONG.messages)  # it takes its turn: meanwhile the others go on
            task.cancel()
        ends = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 120)
        kinds = Counter(map(type, ends))
        assert set(kinds) <= {Generation, asyncio.CancelledError}
        assert kinds[Generation] >= 30
        await wait_until(lambda: not client.load.running and not client.load.waiting, what="an idle child")
        assert (await client.generate(ask("Hello", max_tokens=3))).text
        assert (client.pid, client.restarts) == (pid, 0)


async def test_an_idle_child_is_left_alone(fast: None, clock: Clock) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        pid, looks = client.pid, itertools.count()
        clock.pass_stall()
        clock.pass_stall()
        await wait_until(lambda: next(looks) > 20)
        assert (client.pid, client.restarts) == (pid, 0)


async def test_a_cancelled_request_ends_in_the_child_too(client: EngineClient) -> None:
    begun = await begin(client)
    begun.cancel()
    await asyncio.wait({begun})
    assert begun.cancelled()
    # The child would be busy for seconds: it answers only because it let go.
    following = await client.generate(ask("Hello", max_tokens=3, seconds=20))
    assert following.tokens_out == 3
    assert client.restarts == 0


async def test_who_waits_is_served_by_urgency_then_age(client: EngineClient) -> None:
    order: list[str] = []

    async def run(name: str, priority: Priority) -> None:
        await client.generate(ask("Hello", max_tokens=2, priority=priority))
        order.append(name)

    begun = await begin(client)
    waiting = [
        asyncio.create_task(run(name, priority))
        for name, priority in [
            ("old backfill", Priority.BACKFILL),
            ("first", Priority.TRIGGERED),
            ("second", Priority.TRIGGERED),
            ("person", Priority.INTERACTIVE),
        ]
    ]
    await asyncio.sleep(0)  # they are sent
    await client.render(LONG.messages)  # the child has seen what was sent before
    begun.cancel()
    await asyncio.gather(*waiting)
    assert order == ["person", "first", "second", "old backfill"]


async def test_a_listener_that_fails_costs_only_its_own_request(client: EngineClient) -> None:
    def fail(_text: str) -> None:
        raise RuntimeError("the listener is gone")

    with pytest.raises(RuntimeError, match="listener"):
        await client.generate(ask("Tell me a story.", max_tokens=50), fail)
    assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
    assert client.restarts == 0


async def test_a_request_that_is_too_large_for_a_frame_is_too_long(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.frames.MAX_FRAME", 1000)
    with pytest.raises(TooLong, match="the request is a frame of"):
        await client.generate(ask("x" * 1000))


async def test_a_conversion_before_the_load_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agentd.engine")
    settings = SMALL.model_copy(update={"repack": "q8_0"})
    async with running(settings, tmp_path) as client:
        await client.wait_loaded()
        assert client.info.weights == "a q8_0 copy of 145 MB, repack: q8_0"
        assert client.info.path == str(find_weights(SMALL))
        assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
    told = [record.message for record in caplog.records if "converted copy" in record.message]
    assert told[-1] == "model main: a converted copy of its weights is made, 100 %"
    async with running(settings, tmp_path) as client:
        await client.wait_loaded()
    assert told == [record.message for record in caplog.records if "converted copy" in record.message]
