import asyncio
import os
import signal
import sqlite3

import httpx
import pytest

from agentd.daemon.agent import now, open_agent
from agentd.daemon.lock import running_pid
from agentd.daemon.supervisor import Supervisor, run_daemon
from agentd.errors import AlreadyRunning, ModelUnavailable
from agentd.paths import Paths
from agentd.records import Event
from agentd.store import queue
from tests.waiting import wait_until


async def test_a_daemon_makes_its_views_frees_dead_jobs_and_ends_on_sigterm(paths: Paths) -> None:
    paths.config.write_text("models: {main: {path: fake}}\nvocabularies: {tags: [garden]}\n")
    async with open_agent(paths) as agent:
        # A dead owner's job, and one of a model that the config has no more; neither has a file to read.
        for source, model in (("/dead.md", "main"), ("/orphan.md", "gone")):
            await agent.store.write(queue.add, Event("note-tagging", source, "0" * 64), "hash", model, now())
        assert await agent.store.write(queue.claim, "boot:1:1", "main", now())
    daemon = asyncio.create_task(run_daemon(paths))
    transport = httpx.AsyncHTTPTransport(uds=str(paths.socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://agentd") as http:

        async def done() -> bool:
            try:
                return (await http.get("/v1/status")).json()["jobs"]["failed"] == 2
            except httpx.ConnectError:
                return daemon.done()

        await wait_until(done)
        with pytest.raises(AlreadyRunning, match=str(os.getpid())):
            await run_daemon(paths)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(daemon, 30)
    assert not paths.socket.exists()
    assert running_pid(paths.lock) is None
    connection = sqlite3.connect(paths.database)
    assert connection.execute("SELECT count(*) FROM view_note_tagging").fetchone() == (0,)
    assert connection.execute("SELECT attempts, reason FROM jobs").fetchall() == [(1, "vanished")] * 2
    connection.close()


async def test_a_stuck_duty_silences_the_watchdog_and_is_named(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    paths.config.write_text("models: {main: {path: fake}}\nvocabularies: {tags: [garden]}\n")
    async with open_agent(paths) as agent:
        supervisor = Supervisor(agent)
        assert (await supervisor._outlook()).told == "starting: model main is loading"
        supervisor._upkeep.start("wait for ever", asyncio.Event().wait)  # type: ignore[arg-type]
        assert (await supervisor._outlook()).alive
        monkeypatch.setattr("agentd.daemon.duty.STUCK_SECONDS", -1.0)
        for _ in range(3):
            assert not (await supervisor._outlook()).alive
        assert caplog.text.count("duty wait for ever gave no sign of life") == 1
        await supervisor._upkeep.end()


async def test_a_model_that_cannot_be_loaded_is_told_and_not_waited_for(paths: Paths) -> None:
    paths.config.write_text("models: {main: {path: /nowhere.gguf}}\nvocabularies: {tags: [garden]}\n")
    async with open_agent(paths) as agent:
        supervisor = Supervisor(agent)
        agent.engines["main"].error = ModelUnavailable("there is no file /nowhere.gguf")
        outlook = await supervisor._outlook()
    assert (outlook.ready, outlook.told) == (
        True,
        "model main: there is no file /nowhere.gguf; nothing to do",
    )
