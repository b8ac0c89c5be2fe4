"""The gate before the queue: which work may be begun now, and which models leave the GPU to others.

`look` holds the config's conditions against the machine and tells the agent what is closed; workers claim nothing
of that. Jobs under way are finished. The config is read anew each time, and a machine of which nothing is asked is
not looked at. What a condition means is known in `conditions`, what the machine is like in `machine`.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

import psutil

from agentd.conditions import Closed, Machine, When, judge
from agentd.daemon.agent import Agent
from agentd.daemon.machine import MachineReader
from agentd.engine.client import EngineClient
from agentd.records import Priority
from agentd.ticks import attend, tick

log = logging.getLogger("agentd.conditions")

LOOK_SECONDS = 5.0
SETTLE_SECONDS = 30.0  # for which the GPU must have been free before a model comes back


class Reader(Protocol):
    """Who knows the machine."""

    def read(self, asked: Collection[str]) -> Machine:
        """The facts behind these keys of `When`."""


class Gate:
    """The conditions of one home, looked at every few seconds."""

    def __init__(
        self, agent: Agent, reader: Reader | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._agent = agent
        self._reader = reader or MachineReader()
        self._clock = clock or _wall_clock
        self._way = GivingWay()
        self._turn = asyncio.Lock()  # a reload looks, too
        self._unread = False  # the machine could not be read, which was told

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            tick()
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Hold what the config asks against the machine, once: await it before the first job is claimed."""
        async with self._turn:
            agent, config = self._agent, self._agent.config
            origins, classes = config.conditions(), config.when.by_priority()
            yielding = [engine for engine in agent.engines.values() if engine.settings.yields == "gpu"]
            conditions = itertools.chain(classes.values(), *origins.values())
            asked = {key for when in conditions for key in when.asks} | ({"gpu_free"} if yielding else set())
            machine = await self._read(asked)
            now = self._clock()
            closed = Closed(
                {origin: reason for origin, whens in origins.items() if (reason := _first(whens, machine, now))},
                {priority: reason for priority, when in classes.items() if (reason := judge(when, machine, now))},
            )
            self._close(closed)
            self._way.look(yielding, machine, time.monotonic())

    async def _read(self, asked: set[str]) -> Machine:
        """What is asked of the machine; of one that cannot be read, nothing is known."""
        if not asked - {"hours"}:
            return Machine()
        try:
            machine = await attend(asyncio.to_thread(self._reader.read, asked))
        except (OSError, psutil.Error) as error:
            if not self._unread:
                log.warning("conditions are taken as met, since this machine cannot be read: %s", error)
            self._unread = True
            return Machine()
        self._unread = False
        return machine

    def _close(self, closed: Closed) -> None:
        agent = self._agent
        before, agent.closed = agent.closed, closed
        _tell(before, closed)
        if before and before != closed:
            agent.added.set()  # what was closed may be open now: whoever waits for work looks again
        if agent.vectors:
            agent.vectors.pause(Priority.BACKFILL in closed.priorities)


class GivingWay:
    """When models leave the GPU, and when they come back: late, since one that comes and goes helps nobody."""

    def __init__(self) -> None:
        self._free_since: float | None = None

    def look(self, engines: Iterable[EngineClient], machine: Machine, now: float) -> None:
        """Let these models go or come back, by who uses the GPU at `now`, a monotonic time."""
        if machine.gpu_users:
            self._free_since = None
            for engine in engines:
                if engine.on_gpu:
                    engine.give_way(" and ".join(machine.gpu_users))
            return
        if self._free_since is None:
            self._free_since = now
        if now - self._free_since >= SETTLE_SECONDS:
            for engine in engines:
                engine.take_back()


def _first(whens: Iterable[When], machine: Machine, now: datetime) -> str | None:
    """What the first of these waits for that waits; two watches of one folder and task are one origin."""
    return next((reason for when in whens if (reason := judge(when, machine, now))), None)


def _tell(before: Closed, after: Closed) -> None:
    """Log what closed and what opened; reasons alone, such as a load that moves, are not worth a line."""
    was, is_ = _by_name(before), _by_name(after)
    for name in is_.keys() - was.keys():
        log.info("%s: %s", name, is_[name])
    for name in was.keys() - is_.keys():
        log.info("%s: goes on", name)


def _by_name(closed: Closed) -> dict[str, str]:
    return {**closed.origins, **{priority.name.lower(): why for priority, why in closed.priorities.items()}}


def _wall_clock() -> datetime:
    return datetime.now().astimezone()
