"""When there is a child for a model: at the start, on demand, after a crash, for a file that was mended."""

import asyncio
import itertools
import logging
import os
import shutil
import signal
from pathlib import Path

import pytest

from agentd.engine import weights
from agentd.engine.choice import Choice
from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import ModelUnavailable
from agentd.model import Generation
from tests.engine.conftest import FAKE, LONG, SMALL, ask, begin, outcome, running
from tests.waiting import wait_until

BRIEF = FAKE.model_copy(update={"keep_alive": 0.2})


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the client logs."""
    caplog.set_level(logging.INFO, "agentd.engine")
    return caplog


def place(file: Path) -> None:
    """Put a model at `file` in one go, as a careful copy does."""
    shutil.copy(find_weights(SMALL), file.with_suffix(".part"))
    file.with_suffix(".part").rename(file)


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


async def test_an_idle_model_is_sent_away_and_comes_back_when_it_is_asked(
    fast: None, told: pytest.LogCaptureFixture
) -> None:
    async with running(BRIEF) as client:
        await client.wait_loaded()
        await wait_until(lambda: client.pid is None, what="the end of an idle child")
        assert (client.state, client.error, client.restarts) == ("unloaded", None, 0)
        assert client.info.fake, "it comes back"
        answers = await asyncio.gather(*(client.generate(ask("Hello")) for _ in range(20)))
        assert {answer.text for answer in answers} == {"fake"}
        assert client.state == "loaded"
    lines = [line for line in told.messages if "context" in line or "without work" in line]
    assert lines[:3] == [
        "model main: scripted placeholder values, no model, context 8,192",
        "model main: unloaded after 0.2 s without work",
        "model main: scripted placeholder values, no model, context 8,192",
    ]


async def test_waiting_for_an_idle_model_does_not_wake_it_and_demanding_it_does(fast: None) -> None:
    async with running(BRIEF) as client:
        await client.wait_loaded()
        await wait_until(lambda: client.pid is None)
        waiting = asyncio.create_task(client.wait_ready())
        looks = itertools.count()
        await wait_until(lambda: next(looks) > 10)
        assert (waiting.done(), client.state) == (False, "unloaded")
        client.demand()
        assert client.state == "loading"
        await asyncio.wait_for(waiting, 30)


async def test_a_model_with_something_to_do_is_not_sent_away(fast: None) -> None:
    async with running(SMALL.model_copy(update={"keep_alive": 0.1})) as client:
        await client.wait_loaded()
        pid, said = client.pid, list[str]()
        await client.generate(ask("Tell me a long story.", max_tokens=60), said.append)
        assert client.pid == pid
        await wait_until(lambda: client.pid is None, what="the end of an idle child")


async def test_an_idle_model_that_cannot_be_loaded_again_says_why(fast: None, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    place(file)
    async with running(SMALL.model_copy(update={"path": str(file), "keep_alive": 0.1})) as client:
        await wait_until(lambda: client.state == "unloaded")
        file.unlink()
        with pytest.raises(ModelUnavailable, match=f"cannot open the model {file}"):
            await client.generate(ask("Hello"))
        assert client.state == "failed"


async def test_what_a_person_unloads_comes_back_for_a_person_only(fast: None) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        await client.unload()
        assert (client.pid, client.state, client.held, client.error) == (None, "unloaded", True, None)
        client.demand()
        for refused in (client.generate(ask("Hello")), client.render(LONG.messages), client.wait_loaded()):
            with pytest.raises(ModelUnavailable, match="was unloaded") as why:
                await refused
            assert why.value.hint == "agentd model load main"
        with pytest.raises(ModelUnavailable, match="was unloaded"):
            _ = client.info
        assert client.state == "unloaded"
        client.demand(person=True)
        await client.wait_loaded()
        assert (client.held, (await client.generate(ask("Hello"))).text) == (False, "fake")
        assert client.restarts == 0


async def test_a_model_is_unloaded_under_its_requests_and_none_is_blamed(client: EngineClient) -> None:
    begun = await begin(client)
    await client.unload()
    assert str(await outcome(begun)) == "model main was unloaded"
    assert isinstance(await outcome(begun), ModelUnavailable)
    await client.load_now()
    assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3


async def test_a_model_is_unloaded_while_it_loads(fast: None) -> None:
    async with running(SMALL) as client:
        waiting = asyncio.create_task(client.wait_loaded())
        await wait_until(lambda: client.pid)
        await client.unload()
        with pytest.raises(ModelUnavailable, match="was unloaded"):
            await waiting
        assert client.state == "unloaded"
        await client.load_now()
        assert client.loaded


async def test_a_model_that_is_unloaded_before_it_was_started_stays_away(fast: None) -> None:
    async with running(FAKE) as client:
        await client.unload()
        looks = itertools.count()
        await wait_until(lambda: next(looks) > 10 and client.pid is None)
        assert client.state == "unloaded"


async def test_loading_does_not_wait_for_the_next_try(
    fast: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.engine.client.WATCH_SECONDS", 1000.0)
    file = tmp_path / "mine.gguf"
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="cannot open"):
                await asyncio.wait_for(client.load_now(), 30)
            assert client.state == "failed"
        place(file)
        await asyncio.wait_for(client.load_now(), 30)
        assert client.loaded


async def test_loading_does_not_wait_for_the_end_of_a_backoff(
    client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.engine.client.LAST_BACKOFF", 1000.0)
    monkeypatch.setattr("agentd.engine.client.FIRST_BACKOFF", 1000.0)
    monkeypatch.setattr("agentd.engine.client.STEADY_SECONDS", 0.0)  # a long life: the backoff begins anew
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    await wait_until(lambda: client.state == "failed", what="a death that was noticed")
    await asyncio.wait_for(client.load_now(), 60)
    assert (client.state, client.error, client.restarts) == ("loaded", None, 1)


async def test_a_model_that_failed_can_be_given_up(fast: None, tmp_path: Path) -> None:
    async with running(SMALL.model_copy(update={"path": str(tmp_path / "none.gguf")})) as client:
        with pytest.raises(ModelUnavailable, match="cannot open"):
            await client.wait_loaded()
        await client.unload()
        assert (client.state, client.error) == ("unloaded", None)


async def test_a_file_that_is_replaced_is_loaded_once_nothing_is_under_way(
    fast: None, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mine.gguf"
    place(file)
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        await client.wait_loaded()
        old = client.pid
        begun = await begin(client, ask("Tell me a long story.", max_tokens=150))
        place(file)
        await wait_until(lambda: not client.loaded, what="no new work for the old model")
        assert (await client.render(LONG.messages)).tokens, "it can still be asked"
        assert client.pid == old
        assert isinstance(await outcome(begun), Generation)
        await wait_until(lambda: client.loaded, what="the new model")
        assert client.pid != old
        assert (client.restarts, client.error) == (0, None)
        assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
    assert len([line for line in told.messages if "replaced" in line]) == 1


async def test_what_was_measured_is_taken_up_by_the_next_child(client: EngineClient) -> None:
    assert client.info.kv_cache == "q8_0/q8_0"
    client.choice = Choice(1, 64, 2, "f16", "f16", "", 1.0, 1.0, "")
    await client.renew("it was tuned")
    await client.load_now()
    assert (client.info.kv_cache, client.info.parallel, client.restarts) == ("f16/f16", 2, 0)


async def test_requests_that_never_end_do_not_keep_a_replaced_model_for_ever(
    fast: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.engine.client.DRAIN_SECONDS", 0.1)
    file = tmp_path / "mine.gguf"
    place(file)
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        await client.wait_loaded()
        begun = await begin(client)
        place(file)
        assert str(await outcome(begun)) == "model main is loaded anew"
        await client.load_now()
        assert client.restarts == 0


@pytest.mark.parametrize("fault", ["deleted", "text"])
async def test_a_model_whose_file_is_gone_or_none_any_more_goes_on(
    fast: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    looks = list[ModelSettings]()
    monkeypatch.setattr("agentd.engine.client.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(weights, "find_weights", lambda settings: looks.append(settings) or find_weights(settings))
    file = tmp_path / "mine.gguf"
    place(file)
    async with running(SMALL.model_copy(update={"path": str(file)})) as client:
        await client.wait_loaded()
        old = client.pid
        file.unlink()
        if fault == "text":
            file.write_text("# not a model\n")
        looks.clear()
        await wait_until(lambda: len(looks) > 5, what="some looks at the file")
        assert (client.pid, client.state) == (old, "loaded")
        assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
