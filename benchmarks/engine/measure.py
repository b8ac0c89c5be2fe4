"""Measure sides in turns: a slow moment of the machine hits all alike, and the medians lose it."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from agentd.model import Message
from benchmarks.engine import figures
from benchmarks.engine.figures import Run
from benchmarks.engine.sides import Answer, Running, Side, ask_line, end, start_module
from benchmarks.engine.workload import Job

console = Console(stderr=True)

HOPELESS = 0.85  # of the best setting of the same engine in the first turn; below it a setting gets no other turn


@dataclasses.dataclass(slots=True)
class Measured:
    """What came of one side and one workload."""

    name: str
    setting: str
    version: str = ""
    runs: list[Run] = dataclasses.field(default_factory=list)
    answers: list[Answer] = dataclasses.field(default_factory=list)  # of the last run
    info: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the model, where the side tells

    @property
    def a_minute(self) -> float:
        """Valid jobs a minute, the median."""
        return figures.median(run.a_minute for run in self.runs)

    def to_wire(self) -> dict[str, Any]:
        """As JSON, without the answers."""
        return {
            "name": self.name,
            "setting": self.setting,
            "version": self.version,
            "runs": [dataclasses.asdict(run) for run in self.runs],
        }


class Turns:
    """Sides that take turns at workloads. `results` grows with every turn."""

    def __init__(self, sides: Sequence[Side], workloads: Mapping[str, Sequence[Job]]) -> None:
        self._sides = list(sides)
        self._workloads = workloads
        self.turns = 0
        self.results: dict[str, list[Measured]] = {
            name: [Measured(side.name, side.setting) for side in sides] for name in workloads
        }

    async def turn(self) -> None:
        """Every side once, in the other order each time."""
        places = list(enumerate(self._sides))
        for place, side in places if self.turns % 2 == 0 else reversed(places):
            if self.turns == 0 or not self._is_hopeless(place):
                await self._measure(place, side)
        self.turns += 1

    async def _measure(self, place: int, side: Side) -> None:
        async with side.start() as running:
            for name, jobs in self._workloads.items():
                measured = self.results[name][place]
                run, answers = await timed(running, jobs, side.width)
                measured.version, measured.answers = running.version, answers
                measured.runs.append(run)
                measured.info = (await running.work()).get("info", {})
                console.print(f"  {name}: {side.name}, {side.setting}: {run.a_minute:.1f} jobs/min")

    def _is_hopeless(self, place: int) -> bool:
        """Whether another setting of the same engine was clearly faster, in every workload."""
        return all(
            of_sides[place].a_minute < HOPELESS * best(of_sides, of_sides[place].name).a_minute
            for of_sides in self.results.values()
        )


def best(measured: Sequence[Measured], name: str) -> Measured:
    """The fastest setting of an engine; raises `ValueError` where it was not measured."""
    return max((one for one in measured if one.name == name), key=lambda one: one.a_minute)


async def timed(running: Running, jobs: Sequence[Job], width: int) -> tuple[Run, list[Answer]]:
    """One run over all jobs, with what they have in common in every cache already, as in a daemon that stays."""
    await running.answer(_first(jobs) * width)
    before = (await running.work()).get("load", {})
    began = time.perf_counter()
    answers = await running.answer(jobs)
    seconds = time.perf_counter() - began
    after = (await running.work()).get("load", {})
    run = figures.summarise(jobs, answers, seconds)
    if after:
        run = dataclasses.replace(
            run,
            threads=after["threads"],
            busy_seconds=after["busy_seconds"] - before["busy_seconds"],
            decode_seconds=after["decode_seconds"] - before["decode_seconds"],
        )
    return run, answers


def _first(jobs: Sequence[Job]) -> list[Job]:
    """A job of next to no words after the same instructions, with more of an answer than the schema dictates."""
    messages = (*jobs[0].messages[:-1], Message("user", "…"))
    return [dataclasses.replace(jobs[0], messages=messages, max_tokens=16)]


async def direct(question: dict[str, Any]) -> dict[str, Any]:
    """Ask llama.cpp itself, see `direct`."""
    process = await start_module("benchmarks.engine.direct")
    try:
        return await ask_line(process, question)
    finally:
        await end(process)
