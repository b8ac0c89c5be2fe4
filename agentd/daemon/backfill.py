"""The duty that finds the files of backfills: what a person asked a task to do with what is there already.

A backfill is a row; its files are found here and become jobs of the lowest priority, many at a time. A death in
the middle loses nothing: its files are looked for again, and a file that has its job gets no second one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.api.shapes import BackfillShape, backfill_shape
from agentd.daemon.agent import Agent, now
from agentd.daemon.existing import Existing, check_paths
from agentd.errors import InputError, TaskError
from agentd.records import path_of, source_of
from agentd.store import backfills, outlook
from agentd.store.backfills import Backfill
from agentd.ticks import attend, tick

log = logging.getLogger("agentd.backfill")

IDLE_SECONDS = 5.0  # how often to look for one that another process began


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill would do."""

    files: int  # that the task reads
    known: int  # of these, done as they are already, or queued
    left_out: int  # files that the task does not read


async def begin(agent: Agent, task: str, paths: Sequence[Path], *, again: bool) -> Backfill:
    """Note what is asked for; raises `TaskError`, or `Vanished` for a path where nothing is."""
    agent.task(task)
    check_paths(paths)
    found = await agent.store.write(backfills.begin, task, [source_of(path) for path in paths], again, now())
    agent.asked.set()
    return found


async def shape(agent: Agent, backfill: Backfill) -> BackfillShape:
    """The JSON of a backfill, with when it will be done."""
    last = await agent.store.read(backfills.last_queued, backfill.id)
    places = await agent.store.read(outlook.find_places, [last] if last else [])
    place = places.get(last or 0)
    return backfill_shape(backfill, place.eta_seconds if place else None)


async def preview(agent: Agent, name: str, paths: Sequence[Path]) -> Preview:
    """Count what a backfill would do; raises as `begin`."""
    task = agent.task(name)
    task_hash, _ = agent.bind(name)
    check_paths(paths)
    files = known = left_out = 0
    batches = Existing(agent, task, paths).batches()
    while batch := await asyncio.to_thread(next, batches, None):
        events, skipped = batch
        files += len(events)
        left_out += skipped
        known += await agent.store.read(backfills.count_known, events, task_hash)
    return Preview(files, known, left_out)


async def find_files(agent: Agent) -> None:
    """Find the files of every backfill that was begun, until cancelled."""
    while True:
        tick()
        agent.asked.clear()
        for backfill in await agent.store.read(backfills.unlisted):
            try:
                await _list(agent, backfill)
            except (InputError, TaskError) as broken:
                await agent.store.write(backfills.end_listing, backfill.id, now(), error=broken)
                log.warning("backfill %d: %s", backfill.id, broken)
        with contextlib.suppress(TimeoutError):
            await attend(agent.asked.wait(), IDLE_SECONDS)


async def _list(agent: Agent, backfill: Backfill) -> None:
    task = agent.task(backfill.task)
    task_hash, model = agent.bind(backfill.task)
    await agent.store.write(backfills.relist, backfill.id)
    existing = Existing(agent, task, [path_of(path) for path in backfill.paths], backfill.again)
    batches = existing.batches()
    while batch := await attend(asyncio.to_thread(next, batches, None)):
        events, left_out = batch
        if not await agent.store.write(backfills.add, backfill.id, events, left_out, task_hash, model, now()):
            return  # it was cancelled
        agent.added.set()
    await agent.store.write(backfills.end_listing, backfill.id, now(), existing.unreadable)
    found = await agent.store.read(backfills.get, backfill.id)
    log.info("backfill %d: %d jobs for %s, %d files need none", found.id, found.total, found.task, found.known)
