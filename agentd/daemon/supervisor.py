"""`agentd start`: bind the rooms together, run their duties, stop them in reverse.

The duties are engines, heartbeat, workers, changes, watches, logs, vectors of notes and the socket, each inside
`duty.supervise`.
SIGTERM and SIGINT stop claiming, let the job in hand finish for DRAIN_SECONDS, then give it back; a second one
ends at once.
llama_cpp is never imported here.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence

from agentd.api.app import create_app
from agentd.api.server import Server, bound_socket
from agentd.api.status_shapes import StatusShape
from agentd.daemon import lock
from agentd.daemon.agent import Agent, now, open_agent
from agentd.daemon.backfill import find_files
from agentd.daemon.duty import Duty, supervise
from agentd.daemon.follow import Follow
from agentd.daemon.health import report, task_problem, usual_seconds
from agentd.daemon.requests import Requests
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
        async with open_agent(paths) as agent:
            await Supervisor(agent).run()


class Supervisor:
    """The wiring of one running daemon."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._stopping = asyncio.Event()
        self._workers = {model: Worker(agent, model) for model in agent.config.text_models}
        self._watches = [
            FolderTrigger(watch, agent.store, self._emit, self._announce) for watch in agent.config.watch
        ]
        self._follow = Follow(agent)
        self._server = Server(create_app(Requests(agent, self._workers), self._report))
        self._duties: list[Duty] = []

    async def run(self) -> None:
        """Start every duty in order, wait for a signal, stop them in reverse."""
        agent = self._agent
        freed = await agent.store.write(queue.release_dead, is_alive)
        if freed:
            log.info("%d jobs of a daemon that died are queued again", freed)
        await agent.store.write(queue.adopt, agent.config.text_models)
        await agent.write_views()
        with bound_socket(agent.paths.socket) as sock, self._signals():
            engines = self._start([Duty(f"engine {e.name}", e.run) for e in agent.engines.values()])
            serve = self._start([Duty("serve", lambda: self._server.serve([sock]))])
            heartbeat = self._start([Duty("heartbeat", agent.heartbeat)])
            workers = self._start([Duty(f"work {name}", self._work(name)) for name in self._workers])
            words = self._start([Duty("vocabularies", agent.follow_vocabularies)])
            changing = self._start([Duty("apply changes", agent.changes.run)])
            watches = self._start([Duty(f"watch {w.watch.path} → {w.watch.task}", w.run) for w in self._watches])
            listing = self._start([Duty("find files of backfills", lambda: find_files(agent))])
            follow = self._start([Duty("follow logs", self._follow.run)] if agent.config.logs else [])
            embedding = self._start([Duty("embed notes", agent.vectors.run)] if agent.vectors else [])
            self._warn_of_tasks()
            log.info("agentd is running: pid %d, home %s", os.getpid(), agent.paths.config.parent)
            await self._stopping.wait()
            await _end(embedding)
            await _end(follow)
            await _end(watches)
            await _end(listing)
            await self._drain(workers)
            await _end(heartbeat)
            await _end(changing)
            await _end(words)
            self._server.should_exit = True
            await asyncio.wait(serve)
            await _end(engines)
        log.info("agentd has stopped")

    def _start(self, duties: Sequence[Duty]) -> list[asyncio.Task[None]]:
        self._duties += duties
        return [asyncio.create_task(supervise(duty), name=duty.name) for duty in duties]

    def _warn_of_tasks(self) -> None:
        """Say now what would else be said with the first file."""
        for watch in self._watches:
            if problem := task_problem(self._agent, watch.watch.task):
                log.warning("%s is watched and its files wait: %s", watch.watch.path, problem)
            elif watch.watch.per == "folder" and (idle := self._actions_of_files(watch.watch.task)):
                told = "%s is watched with `per: folder`, so %s changes no file of it (%s)"
                log.warning(told, watch.watch.path, watch.watch.task, ", ".join(idle))
        for one in self._agent.config.logs:
            if one.task and (problem := task_problem(self._agent, one.task)):
                log.warning("%s is followed and its findings wait: %s", one.source, problem)

    def _actions_of_files(self, task: str) -> list[str]:
        """The actions of a task that need one file, and so do nothing about many."""
        return [action.kind for action in self._agent.task(task).actions if action.of_file]

    def _work(self, model: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._workers[model].run(self._stopping)

    async def _drain(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """Let the jobs in hand finish; what is not done in time goes back to the queue."""
        _, late = await asyncio.wait(workers, timeout=DRAIN_SECONDS)
        await _end(late)
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
        return await report(self._agent, self._duties, self._watches, self._follow)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            if self._stopping.is_set():
                log.warning("second %s: ending at once", signal.Signals(number).name)
                os._exit(1)
            log.info("%s: stopping", signal.Signals(number).name)
            self._stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def _end(tasks: Sequence[asyncio.Task[None]] | set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
