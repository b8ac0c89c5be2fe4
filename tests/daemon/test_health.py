import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from agentd.api.status_shapes import ModelShape, StatusShape
from agentd.conditions import Closed
from agentd.daemon.agent import Agent, now
from agentd.daemon.duty import Duty
from agentd.daemon.follow import Follow
from agentd.daemon.health import problems, report, status_line, usual_seconds
from agentd.daemon.settings import load_config
from agentd.errors import ModelUnavailable, StoreError, Unreadable
from agentd.logs.settings import LogSettings
from agentd.model import Load
from agentd.records import Priority
from agentd.store import parts, queue, results
from agentd.store.database import Database
from agentd.triggers.folder import FolderTrigger
from agentd.triggers.settings import WatchSettings
from tests.daemon.conftest import CONFIG, WriteNote
from tests.daemon.scripted import ScriptedEngine
from tests.daemon.working import trigger
from tests.making import make_document, make_result
from tests.shapes import check_shape


def make_watch(agent: Agent, path: Path, task: str = "note-tagging") -> FolderTrigger:
    settings = WatchSettings.model_validate({"path": str(path), "task": task})
    return FolderTrigger(settings, agent.store, None, None)  # type: ignore[arg-type]


async def test_a_status_has_every_key_and_the_real_counts(agent: Agent, write_note: WriteNote) -> None:
    await agent.submit("note-tagging", [write_note(), Path("/none")], (), now())
    shape = await report(agent, [Duty("work", None, 2, "ValueError: x")], [], Follow(agent))  # type: ignore[arg-type]
    assert set(shape) == set(StatusShape.__annotations__)
    assert set(shape["models"]["main"]) == set(ModelShape.__annotations__)
    assert (shape["jobs"]["queued"], shape["jobs"]["failed"]) == (1, 1)
    assert shape["duties"] == {"work": {"state": "running", "restarts": 2, "error": "ValueError: x"}}
    assert [(line["priority"], line["queued"]) for line in shape["queue"]] == [
        *(("interactive", 1), ("triggered", 0), ("backfill", 0), ("paused", 0))
    ]
    assert [job["source"] for job in shape["last_errors"]] == ["/none"]
    assert (shape["rss"] or 0) > 2**20
    assert datetime.fromisoformat(shape["started"] or "") < now()
    assert shape["models"]["main"]["context"] == 1000


async def test_ready_means_every_model_loaded_and_every_folder_scanned(
    agent: Agent, engine: ScriptedEngine, tmp_path: Path
) -> None:
    watch = make_watch(agent, tmp_path)
    assert not (await report(agent, [], [watch], Follow(agent)))["ready"]
    watch.scanned.set()
    assert (await report(agent, [], [watch], Follow(agent)))["ready"]
    engine.ready.clear()
    assert not (await report(agent, [], [watch], Follow(agent)))["ready"]
    engine.held = True
    assert (await report(agent, [], [watch], Follow(agent)))["ready"], "it comes back on demand"
    engine.held, engine.error = False, ModelUnavailable("cannot open the model")
    shape = await report(agent, [], [watch], Follow(agent))
    assert not shape["ready"]
    model = shape["models"]["main"]
    assert (model["loaded"], model["error"], model["context"]) == (False, "cannot open the model", None)


async def test_waiting_jobs_and_a_model_that_gave_way_are_told(
    agent: Agent, engine: ScriptedEngine, write_note: WriteNote
) -> None:
    shape = await report(agent, [], [], Follow(agent))
    assert (shape["waiting"], shape["models"]["main"]["gave_way_to"]) == ([], None)
    await trigger(agent, write_note(), Priority.BACKFILL)
    agent.closed = Closed({"log /x": "waits for the network"}, {Priority.BACKFILL: "waits until 22:00"})
    engine.gave_way_to = "blender (pid 7)"
    shape = await report(agent, [], [], Follow(agent))
    check_shape(shape, StatusShape)
    waits = {"origin": None, "priority": "backfill", "jobs": 1, "waits_for": "waits until 22:00"}
    assert shape["waiting"] == [waits]
    assert await status_line(agent) == "ready; 1 job to do; waits until 22:00"
    assert shape["models"]["main"]["gave_way_to"] == "blender (pid 7)"


async def test_a_watch_says_what_is_wrong_with_it(agent: Agent, tmp_path: Path) -> None:
    good, bad = make_watch(agent, tmp_path), make_watch(agent, tmp_path, "no-such-task")
    told = [watch["problem"] for watch in (await report(agent, [], [good, bad], Follow(agent)))["watches"]]
    assert told[0] is None
    assert "no task `no-such-task`" in (told[1] or "")


async def test_a_loaded_model_tells_what_it_takes_and_what_it_does(agent: Agent, engine: ScriptedEngine) -> None:
    engine.parallel = 8
    engine.load = Load(running=3, paused=1, waiting=2, threads=2, cells_used=700, tokens_a_second=99.5)
    shape = await report(agent, [], [], Follow(agent))
    check_shape(shape, StatusShape)
    model = shape["models"]["main"]
    assert (model["gpu_layers"], model["layers"], model["cells"], model["parallel"]) == (20, 30, 4096, 8)
    assert model["kv_cache"] == "q8_0/q8_0", "as it runs, not as the config has it"
    assert model["memory"][1] == {"device": "CUDA0", "weights": 40, "kv_cache": 50, "compute": 60}
    assert (model["weights"], model["notes"]) == (engine.info.weights, list(engine.info.notes))
    assert model["load"] == asdict(engine.load)
    engine.ready.clear()
    model = (await report(agent, [], [], Follow(agent)))["models"]["main"]
    assert (model["memory"], model["load"], model["cells"]) == ([], None, None)


async def test_a_long_document_tells_how_far_it_is_while_it_is_read(agent: Agent, write_note: WriteNote) -> None:
    note = write_note()
    (job_id,) = await agent.submit("note-tagging", [note], (), now())
    assert (await report(agent, [], [], Follow(agent)))["long"] == []
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    await agent.store.write(parts.tell, job_id, "12/40 parts")
    (told,) = (await report(agent, [], [], Follow(agent)))["long"]
    assert (told["id"], told["source"], told["progress"]) == (job_id, str(note), "12/40 parts")
    await agent.store.write(results.complete, job, agent.owner, "h", make_result(), make_document(), now())
    assert (await report(agent, [], [], Follow(agent)))["long"] == []


async def test_the_time_left_is_known_from_what_was_measured(agent: Agent, write_note: WriteNote) -> None:
    assert await usual_seconds(agent, "note-tagging") is None
    assert await usual_seconds(agent, "no-such-task") is None
    assert (await report(agent, [], [], Follow(agent)))["eta_seconds"] == 0.0
    await agent.submit("note-tagging", [write_note()], (), now())
    assert (await report(agent, [], [], Follow(agent)))["eta_seconds"] is None
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    result = make_result(seconds=30.0, engine_seconds=3.0)
    await agent.store.write(results.complete, job, agent.owner, "h", result, make_document(), now())
    assert await usual_seconds(agent, "note-tagging") == 3.0
    await agent.submit("note-tagging", [write_note(f"{n}.md", f"{n}") for n in range(5)], (), now())
    assert (await report(agent, [], [], Follow(agent)))["eta_seconds"] == pytest.approx(15.0)


async def test_what_is_wrong_with_a_running_daemon_is_told_with_what_to_type(
    agent: Agent, engine: ScriptedEngine, tmp_path: Path
) -> None:
    follow, watch = Follow(agent), make_watch(agent, tmp_path, "no-such-task")
    assert [one.key for one in await problems(agent, [], [watch], follow)] == [f"watch {tmp_path} → no-such-task"]
    engine.ready.clear()
    assert await problems(agent, [], [], follow) == [], "a model that is still loading is no trouble"
    engine.error = ModelUnavailable("cannot open the model")
    logs = tuple(LogSettings.model_validate(one) for one in ({"journald": {}}, {"path": "/a.log", "task": "none"}))
    agent.bound = replace(agent.bound, config=agent.config.model_copy(update={"logs": logs}))
    follow.problems["journal"] = [Unreadable("cannot run journalctl")]
    shape = await report(agent, [], [], follow)
    check_shape(shape, StatusShape)
    assert [one["key"] for one in shape["problems"]] == ["model main", "log journal", "log /a.log"]
    assert "no task `none`" in shape["problems"][2]["told"]


async def test_a_write_that_failed_is_a_problem_until_one_succeeds(agent: Agent) -> None:
    def fail(db: Database) -> None:
        db.execute("INSERT INTO no_such_table VALUES (1)")

    with pytest.raises(StoreError):
        await agent.store.write(fail)
    (found,) = await problems(agent, [], [], Follow(agent))
    assert (found.key, "no_such_table" in found.told) == ("database", True)
    await agent.store.read(queue.count_states)
    assert await problems(agent, [], [], Follow(agent)) == [found], "that it can be read does not mend it"
    await agent.store.write(queue.heartbeat, agent.owner, now())
    assert await problems(agent, [], [], Follow(agent)) == []


async def test_a_schedule_whose_folder_or_task_is_missing_is_a_problem(agent: Agent, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    agent.paths.config.write_text(
        f"{CONFIG}schedule:\n  - {{task: summarise, every: 1d, input: {{folder: {inbox}}}}}\n"
        "  - {task: no-such-task, every: 1d}\n"
    )
    agent.bound = await agent.prepare(load_config(agent.paths.config))
    found = {one.key: one.told for one in await problems(agent, [], [], Follow(agent))}
    assert list(found) == ["schedule summarise", "schedule no-such-task"]
    assert f"there is no folder {inbox}" in found["schedule summarise"]
    inbox.mkdir()
    assert [one.key for one in await problems(agent, [], [], Follow(agent))] == ["schedule no-such-task"]


async def test_a_duty_tells_whether_it_goes_on_has_ended_or_is_in_trouble(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        return None

    good, ended, failing = (Duty(name, run) for name in ("good", "ended", "failing"))
    ended.ended = True
    failing.failed.extend([time.monotonic()] * 3)
    shape = await report(agent, [good, ended, failing], [], Follow(agent))
    assert [duty["state"] for duty in shape["duties"].values()] == ["running", "ended", "failing"]
    monkeypatch.setattr("agentd.daemon.duty.STUCK_SECONDS", -1.0)
    shape = await report(agent, [good, ended], [], Follow(agent))
    assert [duty["state"] for duty in shape["duties"].values()] == ["stuck", "ended"]
