"""The engine child as a real process: it is asked, cancelled, and dies in every way."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import BadSchema, EngineCrashed, EngineTimeout, ModelUnavailable, TooLong
from agentd.model import Generation, Request
from agentd.records import Priority
from tests.engine.conftest import ask, outcome, running
from tests.waiting import wait_until

SMALL = ModelSettings(context=1024, threads=1)
FAKE = ModelSettings(path="fake")
LONG = ask("Tell me a very long story about a river.", max_tokens=800)


@pytest.fixture
async def client(fast: None) -> AsyncIterator[EngineClient]:
    """A client with the starter model loaded."""
    async with running(SMALL) as client:
        await client.wait_loaded()
        yield client


async def begin(client: EngineClient, request: Request = LONG) -> asyncio.Task[Generation]:
    """A request that the child is in the middle of."""
    said: list[str] = []
    task = asyncio.create_task(client.generate(request, said.append))
    await wait_until(lambda: len(said) > 2 or task.done(), what="the first words")
    assert not task.done()
    return task


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
async def test_a_death_costs_the_request_that_was_begun_and_no_other(
    client: EngineClient, number: signal.Signals
) -> None:
    begun = await begin(client)
    waiting = asyncio.create_task(client.generate(ask("Hello", max_tokens=3)))
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


async def test_a_child_that_stands_still_in_the_middle_is_replaced(fast: None) -> None:
    async with running(SMALL.model_copy(update={"stall": 0.5})) as client:
        await client.wait_loaded()
        begun = await begin(client)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        crashed = await outcome(begun)
        assert isinstance(crashed, EngineCrashed)
        assert "made no progress for 0.5 s" in str(crashed)
        await wait_until(lambda: client.loaded, what="a new child")


async def test_a_child_that_stood_still_before_it_was_asked_is_replaced(fast: None) -> None:
    async with running(FAKE.model_copy(update={"stall": 0.5})) as client:
        await client.wait_loaded()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        outcomes = await asyncio.gather(
            outcome(asyncio.create_task(client.generate(ask("Hello")))),
            client.render(LONG.messages),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [ModelUnavailable, ModelUnavailable]
        await wait_until(lambda: client.loaded, what="a new child")
        assert (await client.generate(ask("Hello"))).text == "fake"


async def test_an_idle_child_is_left_alone(fast: None) -> None:
    async with running(FAKE.model_copy(update={"stall": 0.1})) as client:
        await client.wait_loaded()
        pid, began = client.pid, time.monotonic()
        await wait_until(lambda: time.monotonic() - began > 6 * client.settings.stall)
        assert (client.pid, client.restarts) == (pid, 0)


async def test_a_child_that_outgrows_its_memory_is_replaced(fast: None) -> None:
    async with running(FAKE.model_copy(update={"memory": 1024**2})) as client:
        await wait_until(lambda: client.restarts >= 2, what="two replaced children")
        assert "outgrew its memory" in str(client.error)
        assert "of 1,048,576 bytes" in str(client.error)


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
    await client.render(LONG.messages)
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
    monkeypatch.setattr("agentd.engine.frames.MAX_FRAME", 1000)
    with pytest.raises(TooLong, match="the request is a frame of"):
        await client.generate(ask("x" * 1000))


async def test_what_is_waited_for_fails_when_the_duty_ends(fast: None) -> None:
    client = EngineClient("main", SMALL)
    life = asyncio.create_task(client.run())
    await client.wait_loaded()
    begun = await begin(client)
    life.cancel()
    told = await asyncio.wait_for(outcome(begun), 10)
    assert isinstance(told, ModelUnavailable), "no crash is counted for it"
    await asyncio.wait({life})
    with pytest.raises(ModelUnavailable):
        await client.generate(ask("Hello"))


async def test_a_missing_model_is_loaded_as_soon_as_it_is_there(fast: None, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        with pytest.raises(ModelUnavailable, match=f"cannot open the model {file}"):
            await client.wait_loaded()
        with pytest.raises(ModelUnavailable, match="cannot open"):
            await client.generate(ask("Hello"))
        assert client.restarts == 0
        shutil.copy(find_weights(SMALL), tmp_path / "part")
        (tmp_path / "part").rename(file)
        await wait_until(lambda: client.loaded, what="the model that was put there")
        assert client.info.path == str(file)


@pytest.mark.parametrize("fault", ["text", "truncated", "header", "counts"])
async def test_a_broken_model_is_told_and_a_whole_one_in_its_place_loaded(
    fast: None, tmp_path: Path, fault: str
) -> None:
    raw = bytearray(find_weights(SMALL).read_bytes())
    file = tmp_path / "mine.gguf"
    match fault:
        case "text":
            file.write_text("# not a model\n")
        case "truncated":
            file.write_bytes(raw[:1_000_000])
        case "header":
            raw[24:4000] = bytes(byte ^ 0x55 for byte in raw[24:4000])
            file.write_bytes(raw[:2_000_000])
        case "counts":
            raw[8:24] = b"\xff" * 16  # how many tensors and keys
            file.write_bytes(raw[:2_000_000])
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        with pytest.raises(ModelUnavailable) as told:
            await client.wait_loaded()
        assert str(file) in told.value.message or "died of" in told.value.message
        shutil.copy(find_weights(SMALL), tmp_path / "part")
        (tmp_path / "part").rename(file)
        await wait_until(lambda: client.loaded, what="the whole model")


async def test_a_model_that_is_still_loading_says_so() -> None:
    client = EngineClient("main", SMALL)
    assert not client.loaded
    with pytest.raises(ModelUnavailable, match="still loading"):
        await client.generate(ask("Hello"))
    with pytest.raises(ModelUnavailable, match="still loading"):
        _ = client.info
