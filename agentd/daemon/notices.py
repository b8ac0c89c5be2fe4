"""The duty that tells people: looks at what happened, keeps what they are to be told, and tells each place.

What happened is noted in the database together with it, so that nothing is lost with the daemon. Every place is
told by itself: nobody waits for one that does not answer. The config is read anew at every look. When a place is
told, the policy decides; what is said, `noticed` and the `actions` room know.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from agentd.actions.messages import compose
from agentd.actions.notice_policy import hold, quiet_until
from agentd.actions.notify import is_final, tell
from agentd.daemon.agent import Agent, now
from agentd.daemon.noticed import notices_of, notices_of_problem
from agentd.daemon.problems import Problem
from agentd.daemon.wellness import Wellness
from agentd.errors import AgentdError, ChangeError, InternalError, StoreError
from agentd.records import timestamp
from agentd.store import notices, retry
from agentd.store.notices import Message, Notice
from agentd.ticks import tick

log = logging.getLogger("agentd.notify")

LOOK_SECONDS = 2.0
PROBLEM_SECONDS = 10.0  # how often the daemon is asked how it is
BATCH = 1000  # of what happened, looked at together
SHOWN = timedelta(days=7)  # how long the status tells of a message that was given up
STOP_SECONDS = 5.0  # how long a stop waits for a message that is being told


class Notices:
    """Tells the people of one home; `problems` says what is wrong with the daemon."""

    def __init__(self, agent: Agent, problems: Callable[[], Awaitable[Sequence[Problem]]]) -> None:
        self._agent, self._problems = agent, problems
        self._telling: dict[str, asyncio.Task[None]] = {}  # by place
        self._wellness: Wellness | None = None
        self._asked = float("-inf")  # when the daemon was last asked how it is
        self._told = set[int]()  # messages that were told and could not be noted so

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        try:
            while True:
                tick()
                # First, since what is wrong may be the database.
                await self.look_at_self(now(), time.monotonic())
                await self.look(now())
                await self._tell_all()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # What a place is being told now may come to its end, if that does not take long.
            if begun := set(self._telling.values()):
                _, late = await asyncio.wait(begun, timeout=STOP_SECONDS)
                for task in late:
                    task.cancel()
            self._telling.clear()

    async def look(self, moment: datetime) -> None:
        """Keep what people are to be told of what happened."""
        store, rules = self._agent.store, self._agent.config.notify.rules
        abouts = {rule.about for rule in rules}
        if await store.read(notices.configured) != abouts:
            await store.write(notices.configure, abouts, moment)
        while rows := await store.read(notices.untold, BATCH):
            new = await store.read(notices_of, rules, rows, moment)
            await store.write(notices.record, rows[-1].id, new)

    async def look_at_self(self, moment: datetime, clock: float) -> None:
        """Keep what people are to be told of the daemon itself; `clock` is by `time.monotonic`."""
        store, rules = self._agent.store, self._agent.config.notify.rules
        if not any(rule.about == "unwell" for rule in rules):
            self._wellness = None
            return
        if clock - self._asked < PROBLEM_SECONDS:
            return
        self._asked = clock
        if self._wellness is None:
            self._wellness = Wellness(await store.read(notices.problems))
        there = {problem.key: problem for problem in await self._problems()}
        begun, over = self._wellness.look(there, clock)
        if begun:
            new = {key: notices_of_problem(rules, there[key], moment) for key in begun}
            try:
                await store.write(notices.begin_problems, new, moment)
            except StoreError as broken:
                if self._is_quiet(moment):
                    return
                log.warning("what is wrong is told and cannot be kept: %s", broken)
                await self._tell_unkept([one for told in new.values() for one in told], moment)
            self._wellness.begin(begun)
        if over:
            await store.write(notices.end_problems, over)
            self._wellness.end(over)

    async def _tell_unkept(self, told: Sequence[Notice], moment: datetime) -> None:
        """Tell what the database cannot keep, such as that it cannot: once, as long as this daemon lives."""
        notify, actions, stamp = self._agent.config.notify, self._agent.config.actions, timestamp(moment)
        for place in dict.fromkeys(one.place for one in told):
            mine = tuple(one for one in told if one.place == place)
            message = Message(0, place, "sending", stamp, 0, stamp, None, None, None, mine)
            try:
                await tell(place, notify, actions, compose(message), int(moment.timestamp()))
            except AgentdError as error:
                log.warning("%s could not be told that agentd is unwell: %s", place, error)

    def _is_quiet(self, moment: datetime) -> bool:
        hours = self._agent.config.notify.quiet_hours
        return hours is not None and quiet_until(hours, moment) is not None

    async def _tell_all(self) -> None:
        for place, task in list(self._telling.items()):
            if task.done():
                del self._telling[place]
                task.result()
        for place in await self._agent.store.read(notices.waiting_places):
            if place not in self._telling:
                self._telling[place] = asyncio.create_task(self.tell(place, now()), name=f"tell {place}")

    async def tell(self, place: str, moment: datetime) -> None:
        """Tell a place what waits for it, if now is the time."""
        message = await self._next(place, moment)
        if message is None:
            return
        notify, actions = self._agent.config.notify, self._agent.config.actions
        try:
            words = compose(message)
            if message.id not in self._told:
                await tell(place, notify, actions, words, int(moment.timestamp()))
        except AgentdError as error:
            await self._fail(message, _for_people(error, place), moment, final=is_final(place, notify, error))
        except Exception as mistake:
            log.exception("telling %s met a mistake of agentd", place)
            await self._fail(message, InternalError(f"{type(mistake).__name__}: {mistake}"), moment, final=False)
        else:
            self._told.add(message.id)
            await self._agent.store.write(notices.sent, message.id, moment)
            self._told.discard(message.id)
            log.info("told %s: %s", place, words.title)

    async def _next(self, place: str, moment: datetime) -> Message | None:
        """The message that a place is to be told now: the one that is on its way, or what waits, put together."""
        store, settings = self._agent.store, self._agent.config.notify
        message = await store.read(notices.unsent, place)
        if message is not None:
            if self._is_quiet(moment):
                return None
            wait = datetime.fromisoformat(message.not_before) - moment
            # More than the longest wait is a clock that was set back.
            return None if timedelta(0) < wait <= retry.LONGEST else message
        waiting = await store.read(notices.pending, place)
        if not waiting:
            return None
        since = moment - timedelta(seconds=settings.at_most.seconds)
        sent = await store.read(notices.sent_since, place, since)
        if hold(settings, datetime.fromisoformat(waiting[0].created), sent, moment):
            return None
        return await store.write(notices.gather, place, moment)

    async def _fail(self, message: Message, error: AgentdError, moment: datetime, *, final: bool) -> None:
        chance = random.random()  # noqa: S311 - no secret
        failed = await self._agent.store.write(notices.fail, message, error, moment, chance, final=final)
        ended = "given up" if failed.state == "failed" else f"tried again after {failed.not_before}"
        log.warning("%s could not be told (%s): %s", message.place, ended, error)


def _for_people(error: AgentdError, place: str) -> AgentdError:
    """The error with a next command that is about telling."""
    if error.hint == ChangeError.default_hint:
        error.hint = f"agentd notify test {place}"
    return error


async def unreachable_places(agent: Agent, moment: datetime) -> list[str]:
    """The places that cannot be told, for the status."""
    failed = await agent.store.read(notices.in_trouble, moment - SHOWN)
    return [
        f"{one.place} {'was given up' if one.state == 'failed' else 'could not be told so far'}: "
        f"{one.error}; next: {one.hint}"
        for one in failed
    ]
