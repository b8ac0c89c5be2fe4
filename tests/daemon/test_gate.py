"""The gate: what the config asks, held against a machine that a test describes."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from agentd.conditions import Machine
from agentd.daemon import gate as daemon_gate
from agentd.daemon.agent import Agent, now
from agentd.daemon.gate import Gate, GivingWay
from agentd.daemon.settings import Config
from agentd.engine.client import EngineClient
from agentd.engine.settings import ModelSettings
from agentd.errors import ModelUnavailable
from agentd.records import Event, JobState, Priority
from agentd.store import queue
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import GOOD, ScriptedEngine
from tests.daemon.working import get, working
from tests.making import sha
from tests.waiting import wait_until

NOON = datetime(2026, 5, 4, 12, 30)
OTHERS = Machine(gpu_users=("blender (pid 7)",), gpu_free=0)
FREE = Machine(gpu_users=(), gpu_free=1)


@dataclass
class FakeReader:
    """A machine that is what a test says, and notes what was asked."""

    machine: Machine | OSError
    asked: list[set[str]] = field(default_factory=list)

    def read(self, asked: Collection[str]) -> Machine:
        self.asked.append(set(asked))
        if isinstance(self.machine, OSError):
            raise self.machine
        return self.machine


def configure(agent: Agent, **sections: Any) -> None:
    config = Config.model_validate({"models": {"main": {"path": "fake"}}, **sections})
    agent.bound = dataclasses.replace(agent.bound, config=config)


def watch(**when: Any) -> dict[str, Any]:
    return {"path": "/notes", "task": "note-tagging", "when": when}


def gate_of(agent: Agent, machine: Machine | None = None) -> tuple[Gate, FakeReader]:
    reader = FakeReader(machine or Machine())
    return Gate(agent, reader, lambda: NOON), reader


async def test_what_a_watch_a_log_and_a_class_ask_for_closes_them(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agentd.conditions")
    configure(
        agent,
        watch=[watch(on_ac=True), {"path": "/other", "task": "note-tagging"}],
        logs=[{"path": "/var/log/x", "when": {"hours": "22:00-06:00"}}],
        when={"backfill": {"network": True}},
    )
    gate, reader = gate_of(agent, Machine(on_ac=False, network=False))
    await gate.look()
    assert agent.closed.origins == {
        "watch /notes note-tagging": "waits for mains power",
        "log /var/log/x": "waits until 22:00",
    }
    assert agent.closed.priorities == {Priority.BACKFILL: "waits for the network"}
    assert reader.asked == [{"on_ac", "hours", "network"}]
    await gate.look()
    assert sorted(caplog.messages) == [
        "backfill: waits for the network",
        "log /var/log/x: waits until 22:00",
        "watch /notes note-tagging: waits for mains power",
    ], "told once"
    caplog.clear()
    agent.added.clear()
    reader.machine = Machine(on_ac=True, network=True)
    await gate.look()
    assert set(agent.closed.origins) == {"log /var/log/x"}
    assert agent.added.is_set(), "workers look again"
    assert sorted(caplog.messages) == ["backfill: goes on", "watch /notes note-tagging: goes on"]


async def test_a_config_that_asks_for_nothing_reads_nothing(agent: Agent) -> None:
    gate, reader = gate_of(agent)
    configure(agent, watch=[watch()])
    await gate.look()
    configure(agent, watch=[watch(hours="13:00-14:00")])
    await gate.look()
    assert reader.asked == [], "the time of day needs no look at the machine"
    assert agent.closed.origins == {"watch /notes note-tagging": "waits until 13:00"}


async def test_a_config_that_was_swapped_counts_from_the_next_look_on(agent: Agent) -> None:
    gate, _ = gate_of(agent, Machine(on_ac=False))
    configure(agent, watch=[watch(on_ac=True)])
    await gate.look()
    assert agent.closed
    configure(agent, watch=[watch()])
    await gate.look()
    assert not agent.closed


async def test_a_machine_that_cannot_be_read_holds_nothing_back_and_that_is_told_once(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    gate, reader = gate_of(agent, Machine(on_ac=False))
    configure(agent, watch=[watch(on_ac=True)], logs=[{"path": "/l", "when": {"hours": "13:00-14:00"}}])
    await gate.look()
    reader.machine = OSError(24, "Too many open files")
    await gate.look()
    await gate.look()
    assert agent.closed.origins == {"log /l": "waits until 13:00"}, "the clock can be read"
    told = "conditions are taken as met, since this machine cannot be read: [Errno 24] Too many open files"
    assert [line for line in caplog.messages if "read" in line] == [told]


async def test_two_watches_of_one_folder_and_task_are_closed_by_either(agent: Agent) -> None:
    gate, _ = gate_of(agent, Machine(on_ac=True, network=False))
    configure(agent, watch=[watch(on_ac=True), watch(network=True)])
    await gate.look()
    assert agent.closed.origins == {"watch /notes note-tagging": "waits for the network"}


async def test_a_closed_job_costs_no_token_until_its_condition_holds(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_gate, "LOOK_SECONDS", 0.01)
    configure(agent, logs=[{"path": "/var/log/x", "when": {"on_ac": True}}])
    gate, reader = gate_of(agent, Machine(on_ac=False))
    await gate.look()
    engine.answers = [GOOD, GOOD]
    engine.ready.clear()  # it was idle and is unloaded
    waits = await add(agent, write_note("waits.md"), agent.config.logs[0].origin)
    looking = asyncio.create_task(gate.run())
    async with working(agent):
        looks = len(reader.asked)
        await wait_until(lambda: len(reader.asked) > looks + 20)
        assert (engine.demands, (await get(agent, waits)).state) == (0, JobState.QUEUED)
        asked = await add(agent, write_note("asked.md", "# Plums\n"), "", Priority.INTERACTIVE)
        await wait_until(lambda: engine.demands)
        engine.ready.set()
        await ended(agent, asked)
        assert (await get(agent, waits)).attempts == 0
        reader.machine = Machine(on_ac=True)
        await ended(agent, waits)
    looking.cancel()
    assert engine.answers == []


async def test_a_job_under_way_is_finished_when_its_condition_ceases(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    configure(agent, logs=[{"path": "/var/log/x", "when": {"on_ac": True}}])
    gate, reader = gate_of(agent, Machine(on_ac=True))
    begun, going = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await going.wait()
        return GOOD

    engine.answers = [slow]
    await gate.look()
    job_id = await add(agent, write_note(), agent.config.logs[0].origin)
    async with working(agent):
        await asyncio.wait_for(begun.wait(), 30)
        reader.machine = Machine(on_ac=False)
        await gate.look()
        assert agent.closed
        going.set()
        await ended(agent, job_id)


async def add(agent: Agent, path: Any, origin: str, priority: Priority = Priority.TRIGGERED) -> int:
    event = Event("note-tagging", str(path), sha(path.read_text()), priority=priority, origin=origin)
    job_id = await agent.store.write(queue.add, event, "hash", "main", now())
    assert job_id is not None
    agent.added.set()
    return job_id


async def ended(agent: Agent, job_id: int) -> None:
    async def is_done() -> bool:
        return (await get(agent, job_id)).state is JobState.DONE

    await wait_until(is_done)


class Yielding:
    """As much of an `EngineClient` as gives way."""

    def __init__(self, *, on_gpu: bool = True) -> None:
        self.on_gpu = on_gpu
        self.told: list[str] = []

    def give_way(self, program: str) -> None:
        self.told.append(program)

    def take_back(self) -> None:
        self.told.append("back")


def test_a_model_comes_back_only_when_the_gpu_stays_free_for_a_while() -> None:
    way, model, elsewhere = GivingWay(), Yielding(), Yielding(on_gpu=False)

    def look(machine: Machine, at: float) -> list[str]:
        way.look([model, elsewhere], machine, at)  # type: ignore[list-item]
        told, model.told = model.told, []
        return told

    assert look(FREE, 0.0) == []
    assert look(OTHERS, 5.0) == ["blender (pid 7)"]
    assert elsewhere.told == [], "a model on the CPU is in nobody's way"
    assert look(FREE, 10.0) == []
    assert look(FREE, 39.0) == []
    assert look(OTHERS, 39.5) == ["blender (pid 7)"]
    assert look(FREE, 40.0) == []
    assert look(FREE, 69.0) == []
    assert look(FREE, 70.0) == ["back"]
    assert look(OTHERS, 75.0) == ["blender (pid 7)"]
    assert look(Machine(), 80.0) == []
    assert look(Machine(), 110.0) == ["back"], "what cannot be asked any more holds nothing back"


@asynccontextmanager
async def real_engine(agent: Agent) -> AsyncIterator[EngineClient]:
    """An engine child with the fake model, as if on the GPU."""
    settings = ModelSettings.model_validate({"path": "fake", "gpu_layers": 4, "yield": "gpu"})
    scripted, agent.engines["main"] = agent.engines["main"], EngineClient("main", settings)
    life = asyncio.create_task(agent.engines["main"].run())
    try:
        yield agent.engines["main"]
    finally:
        life.cancel()
        await asyncio.wait({life})
        agent.engines["main"] = scripted


async def test_a_real_child_goes_for_another_program_and_its_job_is_done_when_it_is_back(
    agent: Agent, write_note: WriteNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_gate, "SETTLE_SECONDS", 0.05)
    configure(agent)
    gate, reader = gate_of(agent, FREE)
    async with real_engine(agent) as engine, working(agent):
        await engine.wait_loaded()
        assert engine.on_gpu
        await gate.look()
        assert engine.loaded
        reader.machine = OTHERS
        await gate.look()
        await wait_until(lambda: engine.pid is None, what="the end of the child")
        with pytest.raises(ModelUnavailable, match="gave way to blender"):
            await engine.wait_loaded()
        job_id = await add(agent, write_note(), "")
        reader.machine = FREE

        async def came_back() -> bool:
            assert (await get(agent, job_id)).attempts <= 1
            await gate.look()
            return engine.loaded

        await wait_until(came_back)
        await ended(agent, job_id)
        assert (await get(agent, job_id)).attempts == 1
