"""Binds schedules to the clock of this machine, to what their tasks are given, and to the queue.

The clock on the wall is looked at again and again: one that only counts on stands still while the machine sleeps.
When a schedule is due, its trigger knows; what was fired, the store.
"""

import asyncio
import difflib
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from agentd.api.schedule_shapes import FiringShape, ScheduleShape
from agentd.daemon.agent import Agent, now
from agentd.daemon.digest import compose_text, find_files
from agentd.daemon.work import Worker
from agentd.errors import AgentdError, InputError, NotFound, TaskError
from agentd.records import Priority, timestamp
from agentd.store import queue, schedules
from agentd.store.schedules import Compose, Fired, Firing, Scheduled
from agentd.ticks import attend, tick
from agentd.triggers.schedule import MISSED, Timetable, clock_change
from agentd.triggers.schedule_settings import FolderInput, ScheduleSettings

log = logging.getLogger("agentd.daemon")

LOOK_SECONDS = 15.0  # at most, between two looks at the clock
LEAST_SECONDS = 0.05


class Schedules:
    """The schedules of one home. `clock` tells the time."""

    def __init__(
        self, agent: Agent, workers: Mapping[str, Worker] | None = None, clock: Callable[[], datetime] = now
    ) -> None:
        self._agent, self._workers, self._clock = agent, workers or {}, clock
        self._warned: dict[str, str] = {}  # what was said of a schedule that cannot be fired

    async def run(self) -> None:
        """Fire what is due, until cancelled."""
        while True:
            tick()
            await asyncio.sleep(await self.look())

    async def look(self) -> float:
        """Fire what is due by now; how many seconds to wait for the next look."""
        agent, moment = self._agent, self._clock()
        wanted = {one.title: one.words for one in agent.config.schedule}
        known = await agent.store.read(schedules.load)
        if {name: state.timetable for name, state in known.items()} != wanted:
            await agent.store.write(schedules.meet, wanted, moment)
            known = await agent.store.read(schedules.load)
        soonest = moment + timedelta(seconds=LOOK_SECONDS)
        for schedule in agent.config.schedule:
            looked = await self._fire_due(schedule, known[schedule.title], moment)
            coming = next(_timetable(schedule).coming(looked, moment), None)
            if coming:
                soonest = min(soonest, _timetable(schedule).firing(coming))
        return max((soonest - self._clock()).total_seconds(), LEAST_SECONDS)

    async def _fire_due(self, schedule: ScheduleSettings, state: Scheduled, moment: datetime) -> datetime:
        """Fire a schedule if it is due; until when its times are dealt with then."""
        timetable, looked = _timetable(schedule), datetime.fromisoformat(state.looked)
        if looked > moment:
            # The clock was ahead. What was fired by it is known by its job, and not fired again.
            await self._skip(schedule, state.looked, moment, state.note)
            return moment
        due = timetable.due(looked, moment)
        if due and due.missed and schedule.catch_up == "none":
            # What has its time just now was not missed.
            looked = max(moment - MISSED, looked)
            told = f"missed {_shown(timetable, due.moment)} (catch_up: none)"
            await self._skip(schedule, state.looked, looked, told)
            state = (await self._agent.store.read(schedules.load))[schedule.title]
            due = timetable.due(looked, moment)
        if due is None:
            return looked
        occasion = timetable.shown(due.moment).isoformat(timespec="minutes")
        try:
            await self._fire(schedule, occasion, Priority.TRIGGERED, (state.looked, timestamp(due.looked)), moment)
        except (TaskError, InputError) as broken:
            self._warn(schedule, f"waits: {broken}")  # fired once its task or its folder can be used
            return looked
        self._warned.pop(schedule.title, None)
        return due.looked

    async def fire_now(self, name: str) -> int:
        """Fire a schedule because a person asked; its job. Its own times stay as they are.

        Raises `NotFound`, `TaskError`, `InputError`, and `AgentdError` where there is nothing to do.
        """
        schedule, moment = self.find(name), self._clock()
        if name not in await self._agent.store.read(schedules.load):
            wanted = {one.title: one.words for one in self._agent.config.schedule}
            await self._agent.store.write(schedules.meet, wanted, moment)
        fired = await self._fire(schedule, f"run {timestamp(moment)}", Priority.INTERACTIVE, None, moment)
        if fired is None or fired.job_id is None:
            told = fired.note if fired else "it was fired just now"
            raise AgentdError(f"{name} was not run: {told}", hint="agentd schedule list")
        return fired.job_id

    def find(self, name: str) -> ScheduleSettings:
        """A schedule of the config; raises `NotFound` with the nearest name."""
        known = {one.title: one for one in self._agent.config.schedule}
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean `{near[0]}`?" if near else f"the config has {', '.join(known) or 'none'}"
        raise NotFound(f"there is no schedule `{name}`: {guess}", hint="agentd schedule list")

    async def shapes(self) -> list[ScheduleShape]:
        """How every schedule is, for people and scripts."""
        agent, moment = self._agent, self._clock()
        known = await agent.store.read(schedules.load)
        return [
            await self._shape(schedule, known.get(schedule.title), moment) for schedule in agent.config.schedule
        ]

    async def coming(self, name: str | None, count: int) -> list[FiringShape]:
        """The next firings of one schedule, or so many of each; raises `NotFound`."""
        wanted = self._agent.config.schedule if name is None else [self.find(name)]
        known, moment = await self._agent.store.read(schedules.load), self._clock()
        return [
            shape
            for schedule in wanted
            for shape in islice(_firings(schedule, known.get(schedule.title), moment), count)
        ]

    async def _shape(self, schedule: ScheduleSettings, state: Scheduled | None, moment: datetime) -> ScheduleShape:
        unfinished, note = [], state.note if state else ""
        if state and state.job_id:
            (job,) = await self._agent.store.read(queue.find, ids=[state.job_id], limit=1)
            unfinished = [] if job.state.final else [job]
        firing = next(_firings(schedule, state, moment), None)
        try:
            self._agent.task(schedule.task)
            problem = None
        except TaskError as broken:
            problem = str(broken)
        return {
            "name": schedule.title,
            "task": schedule.task,
            "when": schedule.words,
            "timezone": schedule.timezone,
            "fired": state.fired if state else None,
            "next": firing["time"] if firing else None,
            "overdue": bool(state and _overdue(schedule, state, moment)),
            "job": state.job_id if state else None,
            "state": unfinished[0].state.value if unfinished else "waiting" if firing else "over",
            "note": note,
            "problem": problem,
        }

    async def _fire(
        self,
        schedule: ScheduleSettings,
        occasion: str,
        priority: Priority,
        looked: tuple[str, str] | None,
        moment: datetime,
    ) -> Fired | None:
        """Make the job, or note why there is none; raises `TaskError`, `InputError`."""
        agent = self._agent
        task_hash, model = agent.bind(schedule.task)
        firing = Firing(
            *(schedule.title, schedule.task, task_hash, model, schedule.origin, schedule.mode),
            *(occasion, priority, looked),
        )
        compose = await self._composer(schedule, moment)
        fired = await agent.store.write(schedules.fire, firing, compose, moment)
        if fired is None:
            return None
        for job_id in fired.cancelled:
            for worker in self._workers.values():
                worker.cancel(job_id)
        if fired.job_id:
            log.info("schedule %s: job %d for %s", schedule.title, fired.job_id, occasion)
            agent.added.set()
        else:
            log.info("schedule %s: no job for %s: %s", schedule.title, occasion, fired.note)
        return fired

    async def _composer(self, schedule: ScheduleSettings, moment: datetime) -> Compose:
        """What puts its input together; files are looked at now, for the writer must not wait for a disk."""
        if isinstance(schedule.input, FolderInput):
            found = await attend(asyncio.to_thread(find_files, schedule, schedule.input))
            return lambda db, marks, since: found
        shown = moment.astimezone(schedule.zone)
        return lambda db, marks, since: compose_text(db, schedule, marks, since, shown)

    async def _skip(self, schedule: ScheduleSettings, before: str, looked: datetime, note: str) -> None:
        if (
            await self._agent.store.write(schedules.skip, schedule.title, (before, timestamp(looked)), note)
            and note
        ):
            log.info("schedule %s: %s", schedule.title, note)

    def _warn(self, schedule: ScheduleSettings, told: str) -> None:
        if self._warned.get(schedule.title) != told:
            self._warned[schedule.title] = told
            log.warning("schedule %s %s", schedule.title, told)


@lru_cache(maxsize=100)
def _timetable(schedule: ScheduleSettings) -> Timetable:
    return schedule.timetable()


def _firings(schedule: ScheduleSettings, state: Scheduled | None, moment: datetime) -> Iterator[FiringShape]:
    """What is to come; times that were missed and wait for a start are not."""
    timetable = _timetable(schedule)
    looked = datetime.fromisoformat(state.looked) if state and state.timetable == schedule.words else moment
    for coming in timetable.coming(min(looked, moment), moment):
        change = clock_change(coming, schedule.zone)
        yield {
            "name": schedule.title,
            "task": schedule.task,
            "time": timestamp(timetable.firing(coming)),
            "shown": timetable.shown(timetable.firing(coming)).isoformat(timespec="seconds"),
            "clock_change": change.total_seconds() / 3600,
        }


def _overdue(schedule: ScheduleSettings, state: Scheduled, moment: datetime) -> bool:
    due = _timetable(schedule).due(datetime.fromisoformat(state.looked), moment)
    return (
        due is not None and state.timetable == schedule.words and not (due.missed and schedule.catch_up == "none")
    )


def _shown(timetable: Timetable, moment: datetime) -> str:
    return f"{timetable.shown(moment):%Y-%m-%d %H:%M}"
