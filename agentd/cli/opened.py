"""What commands need from a home: through its daemon where one runs, or opened for them alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agentd.cli.client import DaemonClient
from agentd.daemon.agent import Agent, open_agent
from agentd.daemon.requests import Requests
from agentd.errors import NotRunning
from agentd.paths import find_paths

T = TypeVar("T")


def with_agent(work: Callable[[Agent], Awaitable[T]]) -> T:
    """Open the home, do the work, close it."""

    async def run() -> T:
        async with open_agent(find_paths()) as agent:
            return await work(agent)

    return asyncio.run(run())


def steer(path: str, alone: Callable[[Requests], Awaitable[Any]], body: Any = None) -> Any:
    """Ask the daemon, or do it in the database where there is none."""
    try:
        return DaemonClient(find_paths()).post(path, body)
    except NotRunning:
        return with_agent(lambda agent: alone(Requests(agent, {})))
