import asyncio

from agentd.daemon.agent import Agent
from agentd.daemon.bindings import Bindings
from agentd.daemon.notify import ServiceManager
from agentd.daemon.reload import Reload
from tests.waiting import wait_until


async def test_a_stop_waits_for_the_reload_under_way_and_lets_none_begin(agent: Agent) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def end_changed(bound: Bindings) -> None:
        began.set()
        await go_on.wait()

    async def start_missing() -> None:
        return

    reload = Reload(agent, ServiceManager({}), end_changed, start_missing)
    running = asyncio.create_task(reload.now())
    await began.wait()
    closing = asyncio.create_task(reload.close())
    late = asyncio.create_task(reload.now())
    await asyncio.sleep(0)
    assert not closing.done()
    began.clear()
    go_on.set()
    assert await running == []
    await wait_until(closing.done)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not late.done()
    assert not began.is_set()
    late.cancel()
