"""A model that leaves the GPU to others: it goes at once, blames nobody, and comes back when it is told to."""

import asyncio
import itertools

import pytest

from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.errors import ModelUnavailable
from tests.engine.conftest import FAKE, ask, begin, outcome, running
from tests.waiting import wait_until

OTHER = "blender (pid 7)"
TOLD = f"model main gave way to {OTHER} on the GPU, and comes back when that is free"


async def gone(client: EngineClient) -> None:
    await wait_until(lambda: client.pid is None, what="the end of the child")


async def stays_away(client: EngineClient) -> None:
    """Whether there is still no child when the loop has turned for a while."""
    looks = itertools.count()
    await wait_until(lambda: next(looks) > 5)
    assert client.pid is None


async def test_a_model_that_gave_way_refuses_requests_and_comes_back_when_it_may(fast: None) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        client.give_way(OTHER)
        await gone(client)
        assert (client.state, client.gave_way_to, client.error, client.restarts) == ("unloaded", OTHER, None, 0)
        client.demand()
        client.demand(person=True)
        for refused in (client.generate(ask("Hello")), client.wait_loaded()):
            with pytest.raises(ModelUnavailable) as why:
                await refused
            assert (str(why.value), why.value.hint) == (TOLD, "agentd model load main")
        with pytest.raises(ModelUnavailable, match="gave way"):
            _ = client.info
        await stays_away(client)
        client.give_way("another (pid 8)")
        client.take_back()
        await client.wait_loaded()
        assert (client.gave_way_to, (await client.generate(ask("Hello"))).text) == ("", "fake")


async def test_a_model_goes_under_its_requests_and_none_is_blamed(client: EngineClient) -> None:
    begun = await begin(client)
    client.give_way(OTHER)
    ended = await asyncio.wait_for(outcome(begun), 10)
    assert isinstance(ended, ModelUnavailable)
    assert str(ended) == f"model main gave way to {OTHER}"
    client.take_back()
    await client.wait_loaded()
    assert (await client.generate(ask("Hello", max_tokens=3))).tokens_out == 3
    assert client.restarts == 0


async def test_a_model_that_gives_way_before_it_was_started_is_never_loaded_meanwhile(fast: None) -> None:
    client = EngineClient("main", FAKE)
    assert client.on_gpu, "nobody knows yet that it is not"
    client.give_way(OTHER)
    life = asyncio.create_task(client.run())
    with pytest.raises(ModelUnavailable, match="gave way"):
        await client.wait_loaded()
    await stays_away(client)
    client.take_back()
    await client.wait_loaded()
    assert not client.on_gpu
    life.cancel()
    await asyncio.wait({life})


async def test_who_loads_it_all_the_same_keeps_it_until_the_gpu_was_free_once(fast: None) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        client.give_way(OTHER)
        await client.load_now()
        client.give_way(OTHER)
        assert (client.loaded, client.gave_way_to) == (True, "")
        client.take_back()
        client.give_way(OTHER)
        await gone(client)
        assert client.gave_way_to == OTHER


async def test_a_model_that_nobody_needed_comes_back_on_demand_alone(fast: None) -> None:
    async with running(FAKE.model_copy(update={"keep_alive": 0.2})) as client:
        await client.wait_loaded()
        await gone(client)
        client.give_way(OTHER)
        client.take_back()
        await stays_away(client)
        client.give_way(OTHER)
        client.demand()
        client.take_back()
        await client.wait_loaded()


async def test_a_model_that_a_person_unloaded_meanwhile_stays_unloaded(fast: None) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        client.give_way(OTHER)
        await client.unload()
        client.take_back()
        await stays_away(client)
        with pytest.raises(ModelUnavailable, match="was unloaded"):
            await client.wait_loaded()
        client.give_way(OTHER)
        client.demand(person=True)  # a question, which has to wait for the GPU like all others
        client.take_back()
        await client.wait_loaded()
        assert not client.held


def test_a_model_without_layers_on_the_gpu_has_nothing_to_yield() -> None:
    with pytest.raises(ValueError, match="nothing on the GPU"):
        ModelSettings.model_validate({"yield": "gpu", "gpu_layers": 0})
    assert ModelSettings.model_validate({"yield": "gpu"}).yields == "gpu"
