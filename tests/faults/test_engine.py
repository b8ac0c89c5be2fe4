"""Faults 3, 7 and 12: the engine child dies, stands still, or outgrows its memory.

Expected outcome: the daemon goes on in the same process with another child; what the child was at fails by name
and is tried again, once; what it was not at does not notice. Its readers are held to the same in
tests/readers/test_children.py.
"""

import asyncio
import os
import signal

from agentd.engine.client import EngineClient
from agentd.errors import EngineCrashed, ModelUnavailable
from tests.acceptance.conftest import MakeDaemon
from tests.engine.conftest import FAKE, LONG, Clock, ask, begin, client, clock, fast, outcome, running
from tests.waiting import wait_for, wait_until

__all__ = ["client", "clock", "fast"]  # fixtures


def test_an_engine_child_that_crashes_in_a_job_is_replaced_and_the_job_done_once(
    make_daemon: MakeDaemon,
) -> None:
    daemon = make_daemon(model="starter")
    daemon.start()
    child, before = daemon.child, daemon.pid
    idle = child.cpu_times().user
    daemon.write("pears.md", "# Pears\n\n" + "Prune the pear tree in February, before the sap rises.\n" * 20)
    wait_for(lambda: daemon.counts().get("running", 0), what="a job in hand")
    wait_for(lambda: child.cpu_times().user > idle + 0.2, what="the child to work on it")
    child.send_signal(signal.SIGSEGV)
    daemon.wait_done(1)
    status = daemon.status()
    assert status["pid"] == before
    assert status["models"]["main"]["restarts"] == 1
    assert status["models"]["main"]["child_pid"] != child.pid
    assert daemon.query("SELECT state, attempts, crashes FROM jobs") == [("done", 2, 1)]
    assert daemon.query("SELECT count(*) FROM results") == [(1,)]
    assert "died of SIGSEGV" in daemon.log
    daemon.stop()


async def test_a_child_that_stands_still_in_the_middle_is_replaced(client: EngineClient, clock: Clock) -> None:
    begun = await begin(client)
    assert client.pid is not None
    os.kill(client.pid, signal.SIGSTOP)
    clock.pass_stall()
    crashed = await outcome(begun)
    assert isinstance(crashed, EngineCrashed)
    assert "made no progress for 120 s" in str(crashed)
    await wait_until(lambda: client.loaded, what="a new child")


async def test_a_child_that_stood_still_before_it_was_asked_is_replaced(fast: None, clock: Clock) -> None:
    async with running(FAKE) as client:
        await client.wait_loaded()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGSTOP)
        asked = [
            asyncio.create_task(client.generate(ask("Hello"))),
            asyncio.create_task(client.render(LONG.messages)),
        ]
        await asyncio.sleep(0)  # they are sent
        clock.pass_stall()
        ends = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(end) for end in ends] == [ModelUnavailable, ModelUnavailable]
        await wait_until(lambda: client.loaded, what="a new child")
        assert (await client.generate(ask("Hello"))).text == "fake"


async def test_a_child_that_outgrows_its_memory_is_replaced(fast: None) -> None:
    async with running(FAKE.model_copy(update={"memory": 1024**2})) as client:
        await wait_until(lambda: client.restarts >= 2, what="two replaced children")
        assert "outgrew its memory" in str(client.error)
        assert "of 1,048,576 bytes" in str(client.error)
