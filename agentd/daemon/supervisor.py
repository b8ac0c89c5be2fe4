"""`agentd start`: bind the rooms together, run their duties, stop them in reverse.

The duties are engines, heartbeat, workers, changes, watches, logs, vectors of notes and the socket, each inside
`duty.supervise`. A reload ends and starts only those whose part of the config has changed.
SIGTERM and SIGINT stop claiming, let the job in hand finish for DRAIN_SECONDS, then give it back; a second one
ends at once.
llama_cpp is never imported here.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence

from agentd.api.app import create_app
from agentd.api.server import Server, bound_socket
from agentd.api.status_shapes import StatusShape
from agentd.daemon import lock
from agentd.daemon.agent import Agent, now, open_agent
from agentd.daemon.backfill import find_files
from agentd.daemon.backups import keep_backups
from agentd.daemon.bindings import Bindings
from agentd.daemon.duty import Duties, Duty
from agentd.daemon.follow import Follow
from agentd.daemon.gate import Gate
from agentd.daemon.health import problems, report, status_line, task_problem, usual_seconds
from agentd.daemon.notices import Notices
from agentd.daemon.notify import Outlook, ServiceManager, keep_told
from agentd.daemon.problems import Problem
from agentd.daemon.reload import Reload
from agentd.daemon.requests import Requests
from agentd.daemon.schedules import Schedules
from agentd.daemon.signals import heeded
from agentd.daemon.work import Worker
from agentd.paths import Paths
from agentd.store import bundles, positions, queue
from agentd.store.owner import is_alive
from agentd.store.positions import Taken
from agentd.triggers.folder import FolderTrigger
from agentd.triggers.settings import WatchSettings

log = logging.getLogger("agentd.daemon")

DRAIN_SECONDS = 10.0


async def run_daemon(paths: Paths) -> None:
    """Be the daemon of a home until told to stop.

    Raises `AlreadyRunning`, `ConfigError` or `StoreError` before anything is started.
    """
    paths.make_folders()
    with lock.hold(paths.lock):
        async with open_agent(paths, log.warning) as agent:
            await Supervisor(agent).run()


class Supervisor:
    """The wiring of one running daemon."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._manager = ServiceManager()
        self._stopping = asyncio.Event()
        self._workers: dict[str, Worker] = {}  # by model
        self._watches: dict[WatchSettings, FolderTrigger] = {}
        self._stuck: set[str] = set()  # names of duties that were told to be
        self._follow = Follow(agent)
        self._gate = Gate(agent)
        self._reload = Reload(agent, self._manager, self._end_changed, self._start_missing)
        self._server = Server(create_app(Requests(agent, self._workers), self._report, self._reload.now))
        self._engines, self._serving, self._upkeep, self._working, self._triggers = (Duties() for _ in range(5))

    @property
    def _duties(self) -> Iterator[Duty]:
        for group in (self._engines, self._serving, self._upkeep, self._working, self._triggers):
            yield from group

    async def run(self) -> None:
        """Start every duty in order, wait for a signal, stop them in reverse."""
        agent = self._agent
        freed = await agent.store.write(queue.release_dead, is_alive)
        if freed:
            log.info("%d jobs of a daemon that died are queued again", freed)
        with bound_socket(agent.paths.socket) as sock, heeded(self._stopping, self._reload.ask):
            self._serving.start("serve", lambda: self._server.serve([sock]))
            self._upkeep.start("heartbeat", agent.heartbeat)
            self._upkeep.start("vocabularies", agent.follow_vocabularies)
            self._upkeep.start("find files of backfills", lambda: find_files(agent))
            self._upkeep.start("reload", self._reload.run)
            self._upkeep.start("tell people", Notices(agent, self._problems).run)
            self._upkeep.start("conditions", self._gate.run)
            self._upkeep.start("back up the database", lambda: keep_backups(agent))
            await self._start_missing()
            if self._manager.listens:
                self._upkeep.start("tell the service manager", lambda: keep_told(self._manager, self._outlook))
            log.info("agentd is running: pid %d, home %s", os.getpid(), agent.paths.config.parent)
            await self._stopping.wait()
            self._manager.say(STOPPING=1, STATUS="stopping: jobs in hand get ten seconds")
            await self._reload.close()  # it would start again what ends now
            await self._triggers.end()
            await self._drain()
            await self._upkeep.end()
            self._server.should_exit = True
            await asyncio.wait(self._serving.tasks)
            await self._engines.end()
        log.info("agentd has stopped")

    async def _start_missing(self) -> None:
        """Start what the config asks for and does not run yet; then do what a new config asks of the store."""
        agent = self._agent
        await self._gate.look()
        for engine in agent.engines.values():
            self._engines.start(f"engine {engine.name}", engine.run)
        for name in agent.config.text_models:
            worker = self._workers.setdefault(name, Worker(agent, name))
            self._working.start(f"work {name}", self._work(worker))
        self._upkeep.start("apply changes", agent.changes.run)
        for watch in agent.config.watch:
            if watch not in self._watches:
                self._watches[watch] = FolderTrigger(watch, agent.store, self._emit, self._announce)
            self._triggers.start(watch, self._watches[watch].run, f"watch {watch.path} → {watch.task}")
        if agent.config.logs:
            self._triggers.start("follow logs", self._follow.run)
        if agent.config.schedule:
            self._triggers.start("schedules", Schedules(agent, self._workers).run)
        if agent.vectors:
            self._triggers.start("embed notes", agent.vectors.run)
        self._warn_of_tasks()
        await agent.store.write(queue.adopt, agent.config.text_models)
        await agent.write_views()

    async def _end_changed(self, bound: Bindings) -> None:
        """End what other bindings have no use for; the jobs in hand of a model that goes are queued again."""
        agent, config = self._agent, self._agent.config
        changed = bound.changed_models(agent.bound)
        gone = [watch for watch in self._watches if watch not in bound.config.watch]
        await self._triggers.end(gone)
        for watch in gone:
            del self._watches[watch]
        if bound.config.logs != config.logs:
            await self._triggers.end(["follow logs"])
        if bound.vectors is not agent.vectors:
            await self._triggers.end(["embed notes"])
        await self._working.end([f"work {name}" for name in changed])
        for name in changed:
            self._workers.pop(name, None)
            await agent.store.write(queue.release, agent.owner, model=name)
        await self._engines.end([f"engine {name}" for name in changed])
        if bound.changes is not agent.changes:
            await self._upkeep.end(["apply changes"])

    def _warn_of_tasks(self) -> None:
        """Say now what would else be said with the first file."""
        for watch in self._watches:
            if problem := task_problem(self._agent, watch.task):
                log.warning("%s is watched and its files wait: %s", watch.path, problem)
            elif watch.per == "folder" and (idle := self._actions_of_files(watch.task)):
                told = "%s is watched with `per: folder`, so %s changes no file of it (%s)"
                log.warning(told, watch.path, watch.task, ", ".join(idle))
        for one in self._agent.config.logs:
            if one.task and (problem := task_problem(self._agent, one.task)):
                log.warning("%s is followed and its findings wait: %s", one.source, problem)

    def _actions_of_files(self, task: str) -> list[str]:
        """The actions of a task that need one file, and so do nothing about many."""
        return [action.kind for action in self._agent.task(task).actions if action.of_file]

    def _work(self, worker: Worker) -> Callable[[], Awaitable[None]]:
        return lambda: worker.run(self._stopping)

    async def _drain(self) -> None:
        """Let the jobs in hand finish; what is not done in time goes back to the queue."""
        await asyncio.wait(self._working.tasks, timeout=DRAIN_SECONDS)
        await self._working.end()
        returned = await self._agent.store.write(queue.release, self._agent.owner)
        if returned:
            log.info("%d unfinished jobs are queued again", returned)

    async def _emit(self, watch: WatchSettings, files: Sequence[Taken]) -> Sequence[int]:
        """What a folder found becomes jobs; positions and jobs commit together."""
        bind = {name: self._agent.bind(name) for name in {file.event.task for file in files}}
        if watch.per == "file":
            added = await self._agent.store.write(positions.take, files, bind.__getitem__, now())
        else:
            taken = await self._agent.store.write(
                bundles.take, files, watch.path, watch.mode, bind.__getitem__, now()
            )
            added = taken.added
            for job_id in taken.cancelled:
                for worker in self._workers.values():
                    worker.cancel(job_id)
        if added:
            log.info("%d new jobs for %s", len(added), files[0].event.task)
            self._agent.added.set()
        return added

    async def _announce(self, watch: WatchSettings, count: int) -> None:
        """Tell what a first look at a folder found, and how long it will take."""
        if watch.existing == "skip":
            log.info("%s: %d files are there already and are skipped (existing: skip)", watch.path, count)
            return
        each = await usual_seconds(self._agent, watch.task)
        told = "unknown until the first is done" if each is None else f"about {count * each / 60:.0f} min"
        log.info("%s: %d files are there already, %s does them all; time: %s", watch.path, count, watch.task, told)

    async def _report(self) -> StatusShape:
        return await report(self._agent, list(self._duties), list(self._watches.values()), self._follow)

    async def _problems(self) -> list[Problem]:
        return await problems(self._agent, list(self._duties), list(self._watches.values()), self._follow)

    async def _outlook(self) -> Outlook:
        """How the daemon is, for the service manager.

        A model that cannot be loaded is not waited for: the daemon serves, and says what is wrong.
        """
        waiting = [f"model {name} is loading" for name, e in self._agent.engines.items() if e.state == "loading"]
        waiting += [f"first look at {w.watch.path}" for w in self._watches.values() if not w.scanned.is_set()]
        stuck = {duty.name for duty in self._duties if duty.stuck}
        for name in stuck - self._stuck:
            log.error("duty %s gave no sign of life for too long", name)
        self._stuck = stuck
        told = f"starting: {', '.join(waiting)}" if waiting else await status_line(self._agent)
        return Outlook(ready=not waiting, alive=not stuck, told=told)
