"""The duty that makes a copy of the database each day, and keeps as many as the config says.

How a copy is made is known in `store.backup`.
"""

import asyncio
import logging
from datetime import date

from agentd.daemon.agent import Agent
from agentd.errors import StoreError
from agentd.ticks import attend

log = logging.getLogger("agentd.daemon")

LOOK_SECONDS = 900.0


async def keep_backups(agent: Agent) -> None:
    """Copy the database once for each day by this machine's clock, until cancelled."""
    while True:
        await back_up_day(agent, date.today())
        await attend(asyncio.sleep(LOOK_SECONDS))


async def back_up_day(agent: Agent, day: date) -> None:
    """Make the copy of a day, unless there is one; `agent.unbacked` says why there is none."""
    try:
        made = await attend(agent.store.back_up(day, agent.config.backups))
    except StoreError as hindered:
        if str(hindered) != str(agent.unbacked):
            log.error("%s", hindered)
        agent.unbacked = hindered
        return
    agent.unbacked = None
    if made:
        log.info("a backup of the database is in %s", made)
