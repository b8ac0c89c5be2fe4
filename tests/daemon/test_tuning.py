"""What the daemon does around a search: what it hands over, what it keeps, and what it leaves as it was.

The search itself is scripted here; a real one is in `engine/test_tuner.py` and `acceptance/test_tune.py`.
"""

import asyncio
import importlib.metadata
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agentd.api.app import Parts, RenderBody, RunBody
from agentd.api.status_shapes import TuneShape
from agentd.daemon import tuning
from agentd.daemon.agent import Agent, now, open_agent
from agentd.daemon.follow import Follow
from agentd.daemon.health import report
from agentd.daemon.requests import Requests
from agentd.engine import tuner_client
from agentd.engine.machine import machine_name
from agentd.engine.settings import ModelSettings
from agentd.errors import AlreadyRunning, BrokenTask, EngineCrashed, ModelUnavailable, NotFound
from agentd.frames import Frame
from agentd.model import Request
from agentd.store import choices, queue, results
from tests.daemon.conftest import WriteNote
from tests.daemon.scripted import SHA256, ScriptedEngine
from tests.making import make_choice, make_document, make_result
from tests.shapes import check_shape

VERSION = importlib.metadata.version("llama-cpp-python")
DEFAULT = {"threads": 2, "batch": 512, "parallel": 8, "kv_cache": ["q8_0", "q8_0"], "weights": ""}
FAST = DEFAULT | {"kv_cache": ["f16", "f16"], "weights": "q8_0"}


def row(setting: dict[str, Any], *runs: float, **given: Any) -> dict[str, Any]:
    values = {"perplexity": None, "agreement": None, "refused": "", "prompt_rate": 1.0, "answer_rate": 2.0}
    return values | {"setting": setting, "estimates": [50.0], "runs": list(runs)} | given


PROGRESS = {"type": "progress", "text": "the defaults", "done": 1.0, "left": 2.0}
DONE = {
    "type": "done",
    "build": f"{VERSION}-0123456789abcdef",
    "choice": {
        **{name: value for name, value in FAST.items() if name != "kv_cache"},
        **{"kv_cache_k": "f16", "kv_cache_v": "f16", "prompt_rate": 500.0, "decode_rate": 200.0, "gain": 2.1},
        **{"measured": "2026-11-23T10:00:00Z", "sha256": SHA256},
    },
    "jobs": 24,
    "others": 0.1,
    "rows": [row(DEFAULT, 50.0, 51.0), row(FAST, 106.0, perplexity=1.001, agreement=[40, 41])],
    "default": 0,
    "chosen": 1,
}


class ScriptedTuner:
    """Stands in place of the tuner's process."""

    def __init__(self, *frames: Frame | BaseException) -> None:
        self.frames = list(frames)
        self.requests: Sequence[Request] = ()
        self.texts: Sequence[str] = ()
        self.closed = 0

    async def __call__(
        self, settings: ModelSettings, requests: Sequence[Request], texts: Sequence[str], folder: Path
    ) -> AsyncGenerator[Frame, None]:
        self.requests, self.texts = requests, texts
        try:
            for frame in self.frames:
                if isinstance(frame, BaseException):
                    raise frame
                yield frame
        finally:
            self.closed += 1


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch, engine: ScriptedEngine) -> ScriptedTuner:
    made = ScriptedTuner(PROGRESS, DONE)
    monkeypatch.setattr(tuner_client, "tune", made)
    engine.settings = ModelSettings()
    return made


async def collect(parts: Parts) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        return [part async for part in parts]


async def keep_result(agent: Agent, path: Path, task: str = "note-tagging") -> None:
    """A result of this task on this file, with its document."""
    await agent.submit(task, [path], (), now())
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    document = make_document(path.read_text(), job.source)
    await agent.store.write(results.complete, job, agent.owner, "h", make_result(), document, now())


async def test_what_was_chosen_is_stored_and_loaded(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner
) -> None:
    progress, done = await collect(tuning.tune(agent, "main"))
    assert progress == PROGRESS
    check_shape(done["tune"], TuneShape)
    assert [(one["default"], one["chosen"]) for one in done["tune"]["rows"]] == [(True, False), (False, True)]
    assert done["tune"]["rows"][1]["kv_cache"] == "f16/f16"
    stored = await agent.store.read(choices.get, SHA256, machine_name())
    assert stored is not None
    assert (stored.weights, stored.kv_cache_k, stored.gain) == ("q8_0", "f16", 2.1)
    assert engine.choice is not None
    assert asdict(engine.choice) == DONE["choice"]
    assert (engine.held, engine.demands) == (False, 1), "it is loaded again"
    assert agent.measuring == set()


async def test_the_model_is_out_of_memory_meanwhile_and_nobody_gets_it(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner, write_note: WriteNote
) -> None:
    requests = Requests(agent, {})
    parts = requests.tune_model("main")
    await anext(parts)
    assert (engine.loaded, engine.held) == (False, True)
    path = str(write_note())
    for refused in (
        requests.load_model("main"),
        anext(requests.run(RunBody(task="note-tagging", paths=[path]))),
        requests.render(RenderBody(task="note-tagging", path=path)),
    ):
        with pytest.raises(ModelUnavailable, match="is being measured"):
            await refused
    with pytest.raises(AlreadyRunning):
        await anext(tuning.tune(agent, "main"))
    with pytest.raises(AlreadyRunning):
        await tuning.reset(agent, "main")
    notices = (await report(agent, [], [], Follow(agent)))["notices"]
    assert "model main is being measured by `agentd model tune`, and its jobs wait" in notices
    assert engine.held
    await collect(parts)
    assert not engine.held


@pytest.mark.parametrize("held", [False, True])
async def test_who_goes_away_leaves_everything_as_it_was(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner, held: bool
) -> None:
    if held:
        await engine.unload()
    parts = tuning.tune(agent, "main")
    await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined]
    assert tuner.closed == 1
    assert (engine.held, engine.choice) == (held, None)
    assert await agent.store.read(choices.get, SHA256, machine_name()) is None
    assert agent.measuring == set()


async def test_a_search_that_fails_brings_the_model_back(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner
) -> None:
    tuner.frames = [PROGRESS, EngineCrashed("died of SIGSEGV")]
    with pytest.raises(EngineCrashed):
        await collect(tuning.tune(agent, "main"))
    assert (engine.held, engine.demands, agent.measuring) == (False, 1, set())


async def test_a_choice_is_there_again_after_a_restart(agent: Agent, tuner: ScriptedTuner) -> None:
    agent.config.models["main"] = ModelSettings()
    await agent.open()
    starter = agent.identities["main"]
    await agent.store.write(choices.put, make_choice(sha256=starter, machine=machine_name()))
    agent.paths.config.write_text("models: {main: {path: starter}}")
    async with open_agent(agent.paths) as again:
        choice = again.engines["main"].choice
        assert choice is not None
        assert (choice.sha256, choice.weights, choice.parallel) == (starter, "q8_0", 16)
        assert again.choices["main"].build == make_choice().build


async def test_a_choice_is_forgotten_with_its_copy(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner
) -> None:
    with pytest.raises(NotFound, match="was never measured"):
        await tuning.reset(agent, "main")
    await collect(tuning.tune(agent, "main"))
    copy = agent.paths.models / tuner_client.WEIGHTS / f"{SHA256[:16]}-q8_0-build.gguf"
    copy.parent.mkdir()
    copy.write_bytes(b"weights")
    await tuning.reset(agent, "main")
    assert (engine.choice, engine.renewed, agent.choices) == (None, 1, {})
    assert not copy.exists()
    assert await agent.store.read(choices.get, SHA256, machine_name()) is None


async def test_the_newest_work_of_the_model_is_measured_and_samples_fill_it_up(
    agent: Agent, tuner: ScriptedTuner, write_note: WriteNote
) -> None:
    for number in range(3):
        await keep_result(agent, write_note(f"{number}.md", f"# Note {number}\n\nPrune the pear tree.\n"))
    await collect(tuning.tune(agent, "main"))
    contents = [request.messages[-1].content for request in tuner.requests]
    assert len(contents) == tuning.MOST_REQUESTS
    assert ["# Note 2" in contents[0], "# Note 0" in contents[2]] == [True, True]
    assert "# Note" not in contents[3]
    tagging = agent.task("note-tagging")
    assert {request.max_tokens for request in tuner.requests} == {tagging.max_tokens}, "summarise is not in use"
    assert tuner.requests[0].schema == tagging.schema
    assert tuner.requests[0].shared == 1
    assert sum(map(len, tuner.texts)) > 4000


async def test_without_any_work_every_task_is_measured_on_samples(agent: Agent, tuner: ScriptedTuner) -> None:
    await collect(tuning.tune(agent, "main"))
    assert len(tuner.requests) == tuning.MOST_REQUESTS
    assert len({request.messages[0] for request in tuner.requests}) == 5
    assert len({request.messages for request in tuner.requests}) == tuning.MOST_REQUESTS


async def test_a_model_without_a_task_has_no_work(agent: Agent, tuner: ScriptedTuner) -> None:
    agent.engines["big"].settings = ModelSettings()
    with pytest.raises(BrokenTask, match="no task for model big"):
        await collect(tuning.tune(agent, "big"))


async def test_only_a_model_with_weights_can_be_measured(agent: Agent) -> None:
    with pytest.raises(ModelUnavailable, match="nothing to measure"):
        await collect(tuning.tune(agent, "main"))
    with pytest.raises(NotFound):
        await collect(tuning.tune(agent, "huge"))


async def test_status_says_what_was_not_measured_here(
    agent: Agent, engine: ScriptedEngine, tuner: ScriptedTuner
) -> None:
    async def told() -> list[str]:
        return [
            notice for notice in (await report(agent, [], [], Follow(agent)))["notices"] if "tune main" in notice
        ]

    defaults = "model main runs with the defaults: `agentd model tune main` finds what is faster here"
    assert await told() == [defaults]
    await collect(tuning.tune(agent, "main"))
    await engine.load_now()
    assert await told() == []
    agent.choices["main"] = make_choice(sha256=SHA256, build="0.1.0-0123456789abcdef")
    assert await told() == [
        "model main was measured with another llama.cpp: `agentd model tune main` measures it anew"
    ]
    agent.choices["main"] = make_choice(sha256="another file")
    assert await told() == [defaults]
