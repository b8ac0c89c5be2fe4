"""The engine child fails while it saves a prefix or weighs choices, and is asked what cannot be followed."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from agentd.engine.client import EngineClient
from agentd.engine.local import LocalModel
from agentd.engine.prefix_file import SUFFIX, UNFINISHED
from agentd.errors import BadSchema, EngineCrashed, ModelUnavailable
from agentd.model import Generation
from tests.engine.conftest import SMALL, Clock, ask, generate, outcome, running
from tests.engine.test_constraint import closed
from tests.waiting import wait_until

SYSTEM = "You answer a keeper of bees. " * 20  # a prefix whose file is some megabytes
QUESTION = ask("When do they swarm?", SYSTEM, shared=1, max_tokens=4)
NAMED = (Generation, EngineCrashed, ModelUnavailable)


async def fail(client: EngineClient, number: signal.Signals, clock: Clock) -> None:
    """Let the child fail, and see that it is replaced."""
    failing = client.pid
    assert failing is not None
    os.kill(failing, number)
    if number == signal.SIGSTOP:
        await wait_until(lambda: clock.pass_stall() or client.pid != failing, what="the end of the patience")
    await wait_until(lambda: client.loaded and client.pid != failing, what="a new child")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
async def test_a_child_that_fails_while_it_saves_a_prefix_leaves_nothing_that_misleads(
    fast: None,
    clock: Clock,
    tmp_path: Path,
    model: LocalModel,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    asked = [
        ask(f"When do the {name} swarm?", SYSTEM, shared=1, max_tokens=200) for name in ("old", "young", "red")
    ]
    async with running(SMALL, tmp_path) as client:
        await client.wait_loaded()
        tasks = [asyncio.create_task(client.generate(request)) for request in asked]
        monkeypatch.setattr("tests.waiting.POLL_SECONDS", 0.001)  # a file is written in a few milliseconds
        await wait_until(lambda: any((tmp_path / "prefixes").iterdir()), 60, "a file, finished or not")
        await fail(client, number, clock)
        ends = await asyncio.wait_for(asyncio.gather(*map(outcome, tasks)), 60)
        assert any(isinstance(end, EngineCrashed) for end in ends)
        assert all(isinstance(end, NAMED) for end in ends)
        answers = [await client.generate(QUESTION) for _ in range(2)]
    alone = generate(model, QUESTION)
    assert {answer.text for answer in answers} == {alone.text}
    assert answers[1].tokens_cached > 100
    left = [file.name for file in (tmp_path / "prefixes").iterdir()]
    assert [Path(name).suffix for name in left] == [SUFFIX], f"no {UNFINISHED} stays"


async def test_a_child_that_dies_while_choices_are_weighed_names_it_to_all(fast: None, clock: Clock) -> None:
    shelves = {"enum": [f"{number:02}" for number in range(64)]}
    weighing = [
        ask(
            f"It stands on shelf {number}.",
            schema=closed(shelf=shelves),
            decide=("shelf",),
            empty=ask("").messages,
        )
        for number in range(8)
    ]
    async with running(SMALL) as client:
        await client.wait_loaded()
        tasks = [asyncio.create_task(client.generate(request)) for request in weighing]
        # Each prompt has some twenty tokens, and the labels of each more than a hundred.
        await wait_until(lambda: client.load.running, what="a full batch")
        await fail(client, signal.SIGKILL, clock)
        ends = await asyncio.wait_for(asyncio.gather(*map(outcome, tasks)), 60)
        assert any(isinstance(end, EngineCrashed) for end in ends)
        assert all(isinstance(end, NAMED) for end in ends)
        answer = await client.generate(weighing[0])
        assert len(answer.probabilities["shelf"]) == 64


async def test_a_schema_that_nothing_can_follow_costs_only_its_own_request(client: EngineClient) -> None:
    pid = client.pid
    beside = asyncio.create_task(client.generate(ask("Tell me a story.", max_tokens=30)))
    schema: dict[str, Any] = {"type": "boolean"}
    for _ in range(480):
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}
    for broken in (schema, {"type": "nonsense"}, {"enum": []}, {"type": "string", "pattern": "("}):
        with pytest.raises(BadSchema):
            await client.generate(ask("Hello", schema=broken))
        with pytest.raises(BadSchema):
            await client.check_schema(broken)
    assert (await beside).tokens_out > 0
    assert (client.pid, client.restarts) == (pid, 0)
