"""What commands need from a home when they do not talk to the daemon: its database, its config, its tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentd.daemon.agent import Agent, open_agent
from agentd.paths import find_paths

T = TypeVar("T")


def with_agent(work: Callable[[Agent], Awaitable[T]]) -> T:
    """Open the home, do the work, close it."""

    async def run() -> T:
        async with open_agent(find_paths()) as agent:
            return await work(agent)

    return asyncio.run(run())
