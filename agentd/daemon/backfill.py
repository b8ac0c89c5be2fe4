"""The duty that finds the files of backfills: what a person asked a task to do with what is there already.

A backfill is a row; its files are found here and become jobs of the lowest priority, many at a time. A death in
the middle loses nothing: its files are looked for again, and a file that has its job gets no second one.
"""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.api.shapes import BackfillShape, backfill_shape
from agentd.daemon.agent import Agent, now
from agentd.errors import InputError, NotText, TaskError, Vanished
from agentd.readers.read import sniff_file
from agentd.records import Event, Priority, path_of
from agentd.store import backfills, outlook
from agentd.store.backfills import Backfill
from agentd.tasks.definition import Task
from agentd.triggers.settings import WatchSettings
from agentd.triggers.sighting import Selection, Sighting, inspect, look

log = logging.getLogger("agentd.backfill")

BATCH = 200  # files that are read and committed at a time
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
    _check_paths(paths)
    found = await agent.store.write(backfills.begin, task, [os.fspath(path) for path in paths], again, now())
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
    _check_paths(paths)
    files = known = left_out = 0
    batches = _batches(agent, task, paths, "")
    while batch := await asyncio.to_thread(next, batches, None):
        events, skipped = batch
        files += len(events)
        left_out += skipped
        known += await agent.store.read(backfills.count_known, events, task_hash)
    return Preview(files, known, left_out)


async def find_files(agent: Agent) -> None:
    """Find the files of every backfill that was begun, until cancelled."""
    while True:
        agent.asked.clear()
        for backfill in await agent.store.read(backfills.unlisted):
            try:
                await _list(agent, backfill)
            except (InputError, TaskError) as broken:
                await agent.store.write(backfills.end_listing, backfill.id, now(), broken)
                log.warning("backfill %d: %s", backfill.id, broken)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(agent.asked.wait(), IDLE_SECONDS)


async def _list(agent: Agent, backfill: Backfill) -> None:
    task = agent.task(backfill.task)
    task_hash, model = agent.bind(backfill.task)
    await agent.store.write(backfills.relist, backfill.id)
    batches = _batches(agent, task, [Path(path) for path in backfill.paths], backfill.again)
    while batch := await asyncio.to_thread(next, batches, None):
        events, left_out = batch
        if not await agent.store.write(backfills.add, backfill.id, events, left_out, task_hash, model, now()):
            return  # it was cancelled
        agent.added.set()
    await agent.store.write(backfills.end_listing, backfill.id, now())
    found = await agent.store.read(backfills.get, backfill.id)
    log.info("backfill %d: %d jobs for %s, %d files need none", found.id, found.total, found.task, found.known)


def _batches(agent: Agent, task: Task, paths: Sequence[Path], occasion: str) -> Iterator[tuple[list[Event], int]]:
    """The files of these paths as events, many at a time, and how many of them the task does not read."""
    files = (one for path in paths for one in _files(agent, task, path))
    while chunk := list(itertools.islice(files, BATCH)):
        events = [event for sighting, watch in chunk if (event := _look(task, sighting, watch, occasion))]
        yield events, len(chunk) - len(events)


def _files(agent: Agent, task: Task, path: Path) -> Iterator[tuple[Sighting, WatchSettings]]:
    """The files at or below a path, as a watch of the task would take them where there is one."""
    if not path.is_dir():
        # Known by the same path as where its folder is watched through a link.
        single = Path(os.path.realpath(path.parent)) / path.name
        if sighting := look(single):
            yield sighting, _plain_watch(task, single.parent, agent.max_bytes)
        return
    folder = Path(os.path.realpath(path))
    watches = (watch.resolved() for watch in agent.config.watch if watch.task == task.name)
    watch = next((one for one in watches if folder.is_relative_to(one.path)), None)
    watch = watch or _plain_watch(task, folder, agent.max_bytes)
    unreadable: list[Path] = []
    try:
        for sighting in Selection(watch).walk(unreadable, folder):
            yield sighting, watch
    except OSError as broken:
        raise Vanished(f"cannot list {folder}: {broken.strerror}", hint=f"ls -ld '{folder}'") from broken
    for one in unreadable:
        log.warning("cannot list %s: left out of the backfill", one)


def _plain_watch(task: Task, folder: Path, max_bytes: int) -> WatchSettings:
    """A watch that would take every file of a folder."""
    return WatchSettings.model_construct(path=folder, task=task.name, include=("*",), max_size=max_bytes)


def _look(task: Task, sighting: Sighting, watch: WatchSettings, occasion: str) -> Event | None:
    """The event of a file; None where the task does not read its kind, or it is gone by now."""
    path = path_of(sighting.source)
    try:
        kind = sniff_file(path)
        if task.reads and kind not in task.reads:
            return None
    except NotText:
        return None
    except InputError:
        pass  # what is wrong with it, its job says
    taken = inspect(sighting, watch, Priority.BACKFILL, wanted=True)
    if taken is None:
        return None
    event = taken.event
    return Event(event.task, event.source, event.content, occasion, event.priority, event.refusal)


def _check_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise Vanished(f"there is no file or folder {path}", hint=f"ls '{path.parent}'")
