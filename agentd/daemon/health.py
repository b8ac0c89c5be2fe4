"""How a running daemon is: what `agentd status` gets over the socket."""

import os
from collections.abc import Sequence

import agentd
from agentd.api.shapes import ModelShape, StatusShape
from agentd.daemon.agent import Agent
from agentd.daemon.duty import Duty
from agentd.daemon.report import count_shape, model_shape
from agentd.engine.client import EngineClient
from agentd.engine.devices import gpu_present
from agentd.engine.settings import STARTER
from agentd.engine.weights import STARTER_NOTICE
from agentd.errors import TaskError
from agentd.records import JobState
from agentd.store import queue, results
from agentd.triggers.folder import FolderTrigger


async def report(agent: Agent, duties: Sequence[Duty], watches: Sequence[FolderTrigger]) -> StatusShape:
    """The status of a running daemon."""
    counts = await agent.store.read(queue.count_states)
    engines = agent.engines.values()
    models = {engine.name: _running_model(engine) for engine in engines}
    return {
        "pid": os.getpid(),
        "ready": all(engine.loaded for engine in engines) and all(watch.scanned.is_set() for watch in watches),
        "version": agentd.__version__,
        "models": models,
        "jobs": count_shape(counts),
        "eta_seconds": await eta(agent, counts[JobState.QUEUED] + counts[JobState.RUNNING]),
        "watches": [
            {
                "path": str(watch.watch.path),
                "task": watch.watch.task,
                "scanned": watch.scanned.is_set(),
                "problem": watch.problem or task_problem(agent, watch.watch.task),
            }
            for watch in watches
        ],
        "duties": {duty.name: {"restarts": duty.restarts, "error": duty.error} for duty in duties},
        "notices": _notices(agent),
    }


async def eta(agent: Agent, jobs: int) -> float | None:
    """Seconds that so many jobs will take, from the median of what the models took lately; None if unknown."""
    if not jobs:
        return 0.0
    durations = [
        await agent.store.read(results.seconds_a_job, engine.info.label)
        for engine in agent.engines.values()
        if engine.loaded
    ]
    known = [duration for duration in durations if duration is not None]
    return jobs * max(known) if known else None


def task_problem(agent: Agent, name: str) -> str | None:
    """What is wrong with a task, or None."""
    try:
        agent.task(name)
    except TaskError as broken:
        return str(broken)
    return None


def _running_model(engine: EngineClient) -> ModelShape:
    shape = model_shape(engine.settings)
    shape |= {"restarts": engine.restarts, "child_pid": engine.pid}
    if not engine.loaded:
        return shape | {"error": str(engine.error) if engine.error else None}
    info = engine.info
    return shape | {
        "path": info.path,
        "context": info.context,
        "gpu_layers": info.gpu_layers,
        "loaded": True,
        "description": info.description,
        "fake": info.fake,
    }


def _notices(agent: Agent) -> list[str]:
    notices = []
    if any(settings.path == STARTER for settings in agent.config.models.values()):
        notices.append(STARTER_NOTICE)
    gpu = gpu_present()
    loaded = [engine.info for engine in agent.engines.values() if engine.loaded]
    if gpu and any(not info.fake and not info.gpu_in_build for info in loaded):
        notices.append(
            f"this machine has a GPU that the installed llama-cpp-python cannot use: the README's section "
            f"“GPU builds” has the command for {gpu}"
        )
    return notices
