"""How a running daemon is: what `agentd status` gets over the socket, and whether the daemon is well."""

import asyncio
import importlib.metadata
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psutil

import agentd
from agentd.api.shapes import job_shape, waiting_shape
from agentd.api.status_shapes import DeviceMemoryShape, LoadShape, LogShape, ModelShape, StatusShape
from agentd.daemon import backfill
from agentd.daemon.agent import Agent, now
from agentd.daemon.disks import read_disks
from agentd.daemon.duty import Duty
from agentd.daemon.follow import Follow
from agentd.daemon.notices import unreachable_places
from agentd.daemon.problems import Problem, Vitals, find_problems
from agentd.daemon.report import LAST_ERRORS, count_shape, line_shapes, model_shape
from agentd.daemon.schedules import Schedules
from agentd.daemon.settings import Config
from agentd.engine.client import EngineClient
from agentd.engine.devices import gpu_present
from agentd.engine.settings import STARTER
from agentd.engine.weights import STARTER_NOTICE
from agentd.errors import AgentdError, TaskError
from agentd.logs.settings import LogSettings
from agentd.paths import Paths
from agentd.records import JobState, timestamp
from agentd.store import backfills, changes, logs, outlook, queue, vectors
from agentd.store.candidates import Waiting, count_waiting
from agentd.ticks import attend
from agentd.triggers.folder import FolderTrigger
from agentd.triggers.schedule_settings import FolderInput, ScheduleSettings

_READY = ("loaded", "unloaded")  # what was unloaded comes back on demand


async def problems(
    agent: Agent, duties: Sequence[Duty], watches: Sequence[FolderTrigger], follow: Follow
) -> list[Problem]:
    """What is wrong with a running daemon; nothing where it is well."""
    # In threads: a network file system may take its time.
    disks = await attend(asyncio.to_thread(read_disks, folders_of(agent.paths, agent.config)))
    away = await attend(asyncio.to_thread(_folders_away, agent.config.schedule))
    vitals = Vitals(
        duties=duties,
        models={name: engine.error for name, engine in agent.engines.items() if engine.state == "failed"},
        store=agent.store.broken,
        backup=agent.unbacked,
        disks=disks,
        watches={
            f"{watch.watch.path} → {watch.watch.task}": watch.problem or task_problem(agent, watch.watch.task)
            for watch in watches
        },
        schedules={
            one.title: away.get(one.title) or task_problem(agent, one.task) for one in agent.config.schedule
        },
        logs={log.source: _log_problems(agent, follow, log) for log in agent.config.logs},
    )
    return find_problems(vitals, time.monotonic())


def folders_of(paths: Paths, config: Config) -> Iterator[tuple[Path, str]]:
    """The folders that have to have room, and what each of them is."""
    yield paths.database.parent, "the database"
    yield paths.models, "converted models"
    for watch in config.watch:
        yield watch.path, f"the watched folder {watch.path}"
    for name, target in config.actions.targets.items():
        yield target, f"the target {name}"


async def report(
    agent: Agent, duties: Sequence[Duty], watches: Sequence[FolderTrigger], follow: Follow
) -> StatusShape:
    """The status of a running daemon."""
    counts = await agent.store.read(queue.count_states)
    engines = agent.engines.values()
    models = {engine.name: _running_model(engine) for engine in engines}
    return {
        "pid": os.getpid(),
        "started": timestamp(datetime.fromtimestamp(psutil.Process().create_time(), UTC)),
        "rss": rss(os.getpid()),
        # Without the model for embeddings the work goes on.
        "ready": all(agent.engines[name].state in _READY for name in agent.config.text_models)
        and all(watch.scanned.is_set() for watch in watches),
        "version": agentd.__version__,
        "models": models,
        "jobs": count_shape(counts),
        "waiting": [waiting_shape(one) for one in await waiting_jobs(agent)],
        "eta_seconds": await agent.store.read(outlook.seconds_left),
        "queue": line_shapes(await agent.store.read(outlook.find_lines)),
        "last_errors": [job_shape(job) for job in await agent.store.read(queue.last_errors, LAST_ERRORS)],
        "long": [
            job_shape(job)
            for job in await agent.store.read(queue.find, state=JobState.RUNNING)
            if job.progress is not None
        ],
        "watches": [
            {
                "path": str(watch.watch.path),
                "task": watch.watch.task,
                "scanned": watch.scanned.is_set(),
                "problem": watch.problem or task_problem(agent, watch.watch.task),
            }
            for watch in watches
        ],
        "logs": await _logs(agent, follow),
        "schedules": await Schedules(agent).shapes(),
        "backfills": [await backfill.shape(agent, one) for one in await agent.store.read(backfills.unfinished)],
        "changes": {state.value: n for state, n in (await agent.store.read(changes.count_states)).items() if n},
        "duties": {
            duty.name: {"state": _state(duty), "restarts": duty.restarts, "error": duty.error} for duty in duties
        },
        "problems": [
            {"key": one.key, "told": one.told, "hint": one.hint}
            for one in await problems(agent, duties, watches, follow)
        ],
        "notices": [*_notices(agent), *await _embedding(agent), *await unreachable_places(agent, now())],
    }


async def waiting_jobs(agent: Agent) -> list[Waiting]:
    """The jobs that wait for conditions."""
    return await agent.store.read(count_waiting, agent.closed) if agent.closed else []


async def status_line(agent: Agent) -> str:
    """How the daemon is in one line, for a service manager."""
    failed = [f"model {name}: {engine.error}" for name, engine in agent.engines.items() if engine.error]
    counts = await agent.store.read(queue.count_states)
    seconds = await agent.store.read(outlook.seconds_left)
    waiting = counts[JobState.QUEUED] + counts[JobState.RUNNING]
    work = f"{waiting:,} {'job' if waiting == 1 else 'jobs'} to do" if waiting else "nothing to do"
    if waiting and seconds:
        work += f", about {max(round(seconds / 60), 1)} min"
    ended = [f"{counts[state]:,} {state}" for state in (JobState.FAILED, JobState.QUARANTINED) if counts[state]]
    waits = sorted({one.reason for one in await waiting_jobs(agent)})
    return "; ".join([*(failed or ["ready"]), work, *waits, *ended])


async def usual_seconds(agent: Agent, name: str) -> float | None:
    """What a job of a task usually takes; None before the first, and for a task that cannot be used."""
    try:
        task = agent.task(name)
    except TaskError:
        return None
    return await agent.store.read(outlook.seconds_each, name, task.model)


def _log_problems(agent: Agent, follow: Follow, log: LogSettings) -> list[AgentdError]:
    broken = _task_error(agent, log.task) if log.task else None
    return [*follow.problems.get(log.source, []), *([broken] if broken else [])]


def _folders_away(schedules: Sequence[ScheduleSettings]) -> dict[str, str]:
    """The schedules whose folder is not there, and what to say of that."""
    return {
        one.title: f"there is no folder {one.input.folder}"
        for one in schedules
        if isinstance(one.input, FolderInput) and not one.input.folder.is_dir()
    }


def task_problem(agent: Agent, name: str) -> str | None:
    """What is wrong with a task, or None."""
    broken = _task_error(agent, name)
    return str(broken) if broken else None


def _task_error(agent: Agent, name: str) -> TaskError | None:
    try:
        agent.task(name)
    except TaskError as broken:
        return broken
    return None


async def _logs(agent: Agent, follow: Follow) -> list[LogShape]:
    read = {source: lines for source, lines, _ in await agent.store.read(logs.log_sources)}
    return [
        {
            "source": log.source,
            "task": log.task,
            "lines": read.get(log.source, 0),
            "problems": [
                *(f"{problem.message}; next: {problem.hint}" for problem in follow.problems.get(log.source, [])),
                *([problem] if log.task and (problem := task_problem(agent, log.task)) else []),
            ],
        }
        for log in agent.config.logs
    ]


def _running_model(engine: EngineClient) -> ModelShape:
    shape = model_shape(engine.settings)
    shape |= {"restarts": engine.restarts, "child_pid": engine.pid, "state": engine.state, "held": engine.held}
    shape["gave_way_to"] = engine.gave_way_to or None
    shape["rss"] = rss(engine.pid) if engine.pid else None
    if not engine.loaded:
        return shape | {"error": str(engine.error) if engine.error else None}
    info = engine.info
    return shape | {
        "path": info.path,
        "kv_cache": info.kv_cache,
        "context": info.context,
        "cells": info.cells,
        "parallel": info.parallel,
        "gpu_layers": info.gpu_layers,
        "layers": info.layers,
        "memory": [cast(DeviceMemoryShape, asdict(device)) for device in info.memory],
        "weights": info.weights,
        "notes": list(info.notes),
        "load": cast(LoadShape, asdict(engine.load)),
        "loaded": True,
        "description": info.description,
        "fake": info.fake,
        "vector": info.vector or None,
    }


def rss(pid: int) -> int | None:
    """Resident bytes of a process; None where it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def _state(duty: Duty) -> str:
    if duty.ended:
        return "ended"
    if duty.stuck:
        return "stuck"
    return "failing" if duty.in_trouble(time.monotonic()) else "running"


def _notices(agent: Agent) -> list[str]:
    notices = []
    if any(settings.path == STARTER for settings in agent.config.models.values()):
        notices.append(STARTER_NOTICE)
    notices += _measurements(agent)
    gpu = gpu_present()
    loaded = [engine.info for engine in agent.engines.values() if engine.loaded]
    if gpu and any(not info.fake and not info.gpu_in_build for info in loaded):
        notices.append(
            f"this machine has a GPU that the installed llama-cpp-python cannot use: the README's section "
            f"“GPU builds” has the command for {gpu}"
        )
    return notices


async def _embedding(agent: Agent) -> list[str]:
    """How far the embedding of notes is, as long as it is not through."""
    if agent.vectors is None:
        return []
    done, notes = await agent.store.read(vectors.count, agent.vectors.key)
    return (
        [f"{done:,} of {notes:,} tagged notes are embedded, and only those are compared"] if done < notes else []
    )


def _measurements(agent: Agent) -> Iterator[str]:
    """What a person should know of how the models were measured."""
    version = importlib.metadata.version("llama-cpp-python")
    for name, engine in agent.engines.items():
        stored = agent.choices.get(name)
        if name in agent.measuring:
            yield f"model {name} is being measured by `agentd model tune`, and its jobs wait"
        elif not engine.loaded or engine.info.fake or engine.info.vector:
            continue
        elif stored is None or stored.sha256 != engine.sha256:
            yield f"model {name} runs with the defaults: `agentd model tune {name}` finds what is faster here"
        elif stored.build.rpartition("-")[0] != version:
            yield f"model {name} was measured with another llama.cpp: `agentd model tune {name}` measures it anew"
