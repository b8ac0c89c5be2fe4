"""Embeddings through a real child: loaded when needed, supervised like every other."""

import asyncio
import os
import signal

import numpy as np
import pytest

from agentd.engine.settings import ModelSettings
from agentd.errors import EngineCrashed, EngineTimeout, ModelUnavailable
from agentd.model import VECTOR_TYPE
from agentd.records import Priority
from tests.engine.conftest import FAKE, ask, running
from tests.waiting import wait_until

FAKE_EMBEDDER = ModelSettings(path="fake", use="embeddings")
SMALL_EMBEDDER = ModelSettings(use="embeddings", context=64, threads=1)
LONG_TEXT = "Prune the pear tree in February. " * 4000


async def test_nothing_is_loaded_before_somebody_needs_it(fast: None) -> None:
    async with running(FAKE_EMBEDDER) as client:
        assert (client.state, client.pid) == ("unloaded", None)
        client.demand()
        await client.wait_loaded()
        made = await client.embed(["Prune the pear tree", "prune the PEAR tree!", "", "bread"])
        assert (client.info.fake, client.info.vector) == (True, 64)
    first, same, empty, other = (np.frombuffer(one, VECTOR_TYPE).astype(float) for one in made.vectors)
    assert first @ same == pytest.approx(1.0, abs=1e-3)
    assert abs(first @ other) < 0.9
    assert (len(empty), made.tokens) == (0, 9)


async def test_each_model_is_asked_only_what_it_is_for(fast: None) -> None:
    async with running(FAKE_EMBEDDER) as client:
        client.demand()
        await client.wait_loaded()
        with pytest.raises(ModelUnavailable, match="not for that: generate"):
            await client.generate(ask("Hello"))
        assert len((await client.embed(["Hello"])).vectors) == 1
    async with running(FAKE) as client:
        await client.wait_loaded()
        with pytest.raises(ModelUnavailable, match="not for that: embed"):
            await client.embed(["Hello"])


async def test_a_child_that_dies_is_blamed_on_its_text_and_comes_back(fast: None) -> None:
    async with running(SMALL_EMBEDDER) as client:
        client.demand()
        await client.wait_loaded()
        begun = asyncio.create_task(client.embed([LONG_TEXT], Priority.BACKFILL))
        await wait_until(lambda: client.load.running or begun.done(), what="a text that is begun")
        # A short one does not wait for the long one.
        assert len((await client.embed(["Bread."])).vectors) == 1
        assert not begun.done()
        assert client.pid
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(EngineCrashed):
            await begun
        await wait_until(lambda: client.loaded, what="the next child")
        assert client.restarts == 1
        assert len((await client.embed(["Bread."])).vectors) == 1


async def test_a_long_text_ends_with_its_time_or_with_who_asked(fast: None) -> None:
    async with running(SMALL_EMBEDDER) as client:
        client.demand()
        await client.wait_loaded()
        with pytest.raises(EngineTimeout):
            await client.embed([LONG_TEXT], seconds=0.2)
        begun = asyncio.create_task(client.embed([LONG_TEXT]))
        await wait_until(lambda: client.load.running or begun.done(), what="a text that is begun")
        begun.cancel()
        await wait_until(lambda: not client.load.running and not client.load.waiting, what="the end of it")
        assert len((await client.embed(["Bread."])).vectors) == 1
