"""`agentd model tune`: let the tuner measure a model on the user's own prompts, and keep what it chose.

The model is out of memory meanwhile: two on one machine would measure each other. How a search goes on, the engine
knows.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from agentd.api.app import Parts
from agentd.api.status_shapes import TuneRowShape, TuneShape
from agentd.daemon.agent import Agent
from agentd.engine import tuner_client
from agentd.engine.machine import machine_name
from agentd.engine.settings import EMBEDDINGS, FAKE
from agentd.errors import AlreadyRunning, BrokenTask, ModelUnavailable, NotFound
from agentd.frames import Frame
from agentd.model import Request
from agentd.readers.read import read_text
from agentd.records import Document, Priority
from agentd.store import choices, documents, results
from agentd.store.choices import StoredChoice
from agentd.tasks.asking import build_request
from agentd.tasks.bind import bind_schema
from agentd.tasks.definition import Task
from agentd.tasks.split import split_document

MOST_CHARACTERS = 6000  # of a document: some 1,500 tokens, the size of a part of a long one
MOST_REQUESTS = 24
LEAST_WORDS = 30  # of a paragraph that is worth a prompt of its own


async def tune(agent: Agent, name: str) -> Parts:
    """Measure a model, store what is best and load it so; progress as it goes, then `done` with a `TuneShape`.

    Whoever closes this ends the search and leaves everything as it was. Raises `AlreadyRunning` while one is going
    on, `NotFound` and `EngineError`.
    """
    engine = agent.engine(name)
    if engine.settings.use == EMBEDDINGS:
        raise ModelUnavailable(
            f"model {name} is for embeddings: it runs one way only, and there is nothing to measure",
            hint="agentd model tune",
        )
    if engine.settings.path == FAKE:
        raise ModelUnavailable(f"model {name} is `{FAKE}`: there is nothing to measure", hint="agentd config path")
    requests, texts = await _workload(agent, name)
    with _marked(agent, name):
        was_held = engine.held
        await engine.unload()
        try:
            frames = tuner_client.tune(engine.settings, requests, texts, agent.paths.models)
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    if frame["type"] == "done":
                        await _keep(agent, name, frame)
                        yield {"type": "done", "tune": _tune_shape(agent, name, frame)}
                    else:
                        yield frame
        finally:
            if not was_held:
                engine.demand(person=True)


async def reset(agent: Agent, name: str) -> None:
    """Forget what was chosen for a model, and let it run with the defaults again; raises `NotFound`."""
    engine = agent.engine(name)
    with _marked(agent, name):
        stored = agent.choices.get(name)
        if stored is None:
            raise NotFound(f"model {name} was never measured on this machine", hint=f"agentd model tune {name}")
        await agent.store.write(choices.forget, stored.sha256, stored.machine)
        await agent.load_choices()
        tuner_client.keep_copies(agent.paths.models, stored.sha256, engine.settings)
        await engine.renew("what was measured is forgotten")


@contextlib.contextmanager
def _marked(agent: Agent, name: str) -> Iterator[None]:
    """Say that a model is being measured."""
    if name in agent.measuring:
        raise AlreadyRunning(f"model {name} is being measured already: let that end first")
    agent.measuring.add(name)
    try:
        yield
    finally:
        agent.measuring.discard(name)


async def _keep(agent: Agent, name: str, frame: Frame) -> None:
    """Store what was chosen, for the next load of the model."""
    build = {"machine": machine_name(), "build": frame["build"]}
    row = frame["choice"] | build
    await agent.store.write(choices.put, StoredChoice(**{one.name: row[one.name] for one in fields(StoredChoice)}))
    agent.identities[name] = row["sha256"]
    await agent.load_choices()


async def _workload(agent: Agent, name: str) -> tuple[list[Request], list[str]]:
    """What this model is usually asked, the newest first, and texts; samples where there is too little of them."""
    tasks = [task for task in agent.library.check().values() if isinstance(task, Task) and task.model == name]
    if not tasks:
        raise BrokenTask(f"there is no task for model {name} that can be used")
    by_name = {task.name: task for task in tasks}
    pairs = list[tuple[Task, Document]]()
    for stored in sorted(await agent.store.read(results.latest), key=lambda stored: stored.id, reverse=True):
        if stored.task in by_name and len(pairs) < MOST_REQUESTS:
            document = await agent.store.read(documents.load_document, stored.content, stored.source)
            if document:
                pairs.append((by_name[stored.task], document))
    # Samples are given to the tasks that are in use, or to all where none is yet.
    used = [task for task in tasks if any(task is other for other, _ in pairs)] or tasks
    pairs += [(task, sample) for sample in sample_documents() for task in used]
    read = [(task, _part(found)) for task, found in pairs if not task.reads or found.kind in task.reads]
    requests = [
        build_request(task, document, bind_schema(task.asked, document), Priority.TRIGGERED)
        for task, document in read[:MOST_REQUESTS]
    ]
    return requests, [document.text for _, document in read]


def _part(document: Document) -> Document:
    """A document, or of a long one the first part, as a model would be asked about it."""
    return replace(document, text=split_document(document, MOST_CHARACTERS)[0].text)


def sample_documents() -> list[Document]:
    """The notes and reports that agentd ships, whole and paragraph by paragraph."""
    package = Path(__file__).parents[1]
    folder = package / "samples" if (package / "samples").is_dir() else package.parent / "samples"
    whole = [
        read_text(file.read_bytes(), file.name, "markdown" if file.suffix == ".md" else "text")
        for file in sorted(folder.iterdir())
    ]
    parts = [
        read_text(paragraph.encode(), f"{document.source}, paragraph {number}", "text")
        for document in whole
        for number, paragraph in enumerate(document.text.split("\n\n"), start=1)
        if len(paragraph.split()) >= LEAST_WORDS
    ]
    return whole + parts


def _tune_shape(agent: Agent, name: str, frame: Frame) -> TuneShape:
    return {
        "model": name,
        "path": agent.engine(name).settings.path,
        "machine": machine_name(),
        "build": frame["build"],
        "measured": frame["choice"]["measured"],
        "gain": round(frame["choice"]["gain"], 3),
        "jobs": frame["jobs"],
        "others": round(frame["others"], 2),
        "rows": [
            _row_shape(row, default=index == frame["default"], chosen=index == frame["chosen"])
            for index, row in enumerate(frame["rows"])
        ],
    }


def _row_shape(row: dict[str, Any], *, default: bool, chosen: bool) -> TuneRowShape:
    setting = row["setting"]
    return {
        "threads": setting["threads"],
        "batch": setting["batch"],
        "parallel": setting["parallel"],
        "kv_cache": "/".join(setting["kv_cache"]),
        "weights": setting["weights"],
        "prompt_rate": row["prompt_rate"],
        "answer_rate": row["answer_rate"],
        "estimates": row["estimates"],
        "runs": row["runs"],
        "perplexity": row["perplexity"],
        "agreement": row["agreement"],
        "refused": row["refused"],
        "default": default,
        "chosen": chosen,
    }
