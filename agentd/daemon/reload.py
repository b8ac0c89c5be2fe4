"""Take another config while the daemon runs: whole, or not at all.

What could go wrong with a config goes wrong in `Agent.prepare`, before anything is ended; then the config in use
stays. Which duties a changed config needs is decided by who runs them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from agentd.daemon.agent import Agent
from agentd.daemon.bindings import Bindings
from agentd.daemon.notify import ServiceManager
from agentd.daemon.settings import Config, load_config
from agentd.errors import AgentdError
from agentd.ticks import attend

log = logging.getLogger("agentd.daemon")

CLOSE_SECONDS = 5.0


class Reload:
    """Reloads of one daemon, one at a time."""

    def __init__(
        self,
        agent: Agent,
        manager: ServiceManager,
        end_changed: Callable[[Bindings], Awaitable[None]],
        start_missing: Callable[[], Awaitable[None]],
    ) -> None:
        self._agent, self._manager = agent, manager
        self._end_changed, self._start_missing = end_changed, start_missing
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()

    def ask(self) -> None:
        """Reload soon; for a signal, which gets no answer."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever that was asked for, until cancelled; a config that is broken is logged."""
        while True:
            await attend(self._asked.wait())
            self._asked.clear()
            with self._manager.reloading():
                try:
                    await attend(self.now())
                except AgentdError as refused:
                    log.error("the config stays as it was: %s", refused)

    async def close(self) -> None:
        """Let a reload that is under way come to its end, if that does not take long; none begins any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._turn.acquire()

    async def now(self) -> list[str]:
        """Take the config as it is in its file now; which of its keys have changed.

        Raises `ConfigError`, `ModelUnavailable` for a changed model that is being measured, and `StoreError`.
        """
        async with self._turn:
            agent = self._agent
            config = await asyncio.to_thread(load_config, agent.paths.config, log.warning)
            bound = await agent.prepare(config)
            agent.refuse_measured(bound.changed_models(agent.bound))
            changed = _changed_keys(agent.config, config)
            try:
                await self._end_changed(bound)
                agent.bound = bound
            finally:
                # Also where the store failed half-way: what was ended runs again, as it was.
                await self._start_missing()
        log.info("the config was read again; changed: %s", ", ".join(changed) or "nothing")
        return changed


def _changed_keys(old: Config, new: Config) -> list[str]:
    return [name for name in Config.model_fields if getattr(old, name) != getattr(new, name)]
