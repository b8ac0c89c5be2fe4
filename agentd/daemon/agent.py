"""One home, opened: config, store, tasks and engines, and what binds them.

The daemon runs one for ever; a command that finds no daemon opens one for itself. It decides what a job is
bound to (the task's hash, its model), and whether a result is still current.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentd.actions import template
from agentd.actions.definition import FrontMatter
from agentd.conditions import Closed
from agentd.daemon.bindings import Bindings, bind
from agentd.daemon.changes import Changes
from agentd.daemon.settings import Config, load_config
from agentd.daemon.vault import Vault
from agentd.daemon.vectors import NoteVectors
from agentd.daemon.vocabularies import Vocabularies
from agentd.engine import weights
from agentd.engine.client import EngineClient
from agentd.engine.settings import FAKE, ModelSettings
from agentd.errors import (
    AgentdError,
    BrokenTask,
    ConfigError,
    EngineError,
    InputError,
    ModelUnavailable,
    NotFound,
    StoreError,
    TaskError,
)
from agentd.paths import Paths
from agentd.readers.read import Reader, content_of
from agentd.records import Document, Event, Job, Priority, is_file, path_of, source_of, timestamp
from agentd.store import changes, checksums, queue, results, retry
from agentd.store.choices import StoredChoice
from agentd.store.database import Store
from agentd.store.owner import current_owner
from agentd.store.results import StoredResult
from agentd.tasks.definition import Task, read_task
from agentd.tasks.examples import read_examples
from agentd.tasks.library import Library
from agentd.tasks.prompt import task_hash
from agentd.ticks import attend, tick
from agentd.triggers.sighting import Selection

log = logging.getLogger("agentd")

STEP_SECONDS = 5.0  # by which a clock that is only put right a little does not go back
VOCABULARY_SECONDS = 10.0  # how often files, folders and decisions about words are looked at


class Agent:
    """Everything that belongs to one home. Use `open_agent`."""

    def __init__(self, paths: Paths, config: Config, store: Store) -> None:
        self.paths = paths
        self.store = store
        self.owner = current_owner()
        self.reader = Reader()
        self.added = asyncio.Event()  # set when jobs were added, for those who wait for work
        self.closed = Closed()  # what may not be begun now; see `daemon.gate`
        self.asked = asyncio.Event()  # set when a backfill was begun, for who finds its files
        self.unbacked: StoreError | None = None  # why there is no backup of today; see `daemon.backups`
        self.measuring: set[str] = set()  # models that are being measured now
        self.bound = bind(paths, config, store)

    @property
    def config(self) -> Config:
        """The config as it was last read well."""
        return self.bound.config

    @property
    def engines(self) -> dict[str, EngineClient]:
        """The engine of each model."""
        return self.bound.engines

    @property
    def changes(self) -> Changes:
        """What results may do to the world."""
        return self.bound.changes

    @property
    def library(self) -> Library:
        """The tasks."""
        return self.bound.library

    @property
    def vectors(self) -> NoteVectors | None:
        """The vectors of notes, where a model makes them."""
        return self.bound.vectors

    @property
    def vocabularies(self) -> Vocabularies:
        """The words that tasks may choose from."""
        return self.bound.vocabularies

    @property
    def identities(self) -> dict[str, str]:
        """The sha256 of the weights that the user chose, by model."""
        return self.bound.identities

    @property
    def choices(self) -> dict[str, StoredChoice]:
        """What was measured best on this machine, by model."""
        return self.bound.choices

    @property
    def max_bytes(self) -> int:
        """The largest file that is read."""
        return self.bound.max_bytes

    async def prepare(self, config: Config) -> Bindings:
        """All that another config needs, ready to be taken as `bound`; raises `ConfigError` and changes nothing.

        Weights that were never seen are read whole, which takes minutes where they are large.
        """
        bound = bind(self.paths, config, self.store, self.bound)
        await self._fill(bound)
        return bound

    async def open(self) -> None:
        """Get ready for tasks; raises `ConfigError`."""
        await self._fill(self.bound)

    async def _fill(self, bound: Bindings) -> None:
        await bound.load_vocabularies(look=False)
        for name, settings in bound.config.models.items():
            bound.identities[name] = await _identify(settings, self.store)
        if bound.vectors:
            bound.vectors.identity = bound.identities[bound.vectors.engine.name]
        await bound.load_choices(self.store)

    def task(self, name: str) -> Task:
        """A task whose model the config has; raises `TaskError`."""
        task = self.library.get(name)
        if problem := self.config.model_problem(task.model):
            raise BrokenTask(f"{task.file}: {problem}", hint="agentd config path")
        return task

    def task_for_examples(self, name: str) -> Task:
        """A task as its golden examples want it: with their words, whatever the config says."""
        file = self.library.find(name)
        words = self.vocabularies.words | read_examples(file).words()
        return read_task(file.read_text("utf-8"), file, words)

    def tag_vocabularies(self) -> set[str]:
        """The vocabularies whose words are tags of notes: from a folder of them, or written to front matter."""
        tasks = [task for task in self.library.check().values() if isinstance(task, Task)]
        written = {
            task.vocabularies[name]
            for task in tasks
            for action in task.actions
            if isinstance(action, FrontMatter)
            for name in task.vocabularies
            if any(name in template.fields(text) for text in action.templates())
        }
        return written | {name for name, words in self.config.vocabularies.items() if isinstance(words, Path)}

    def hash(self, task: Task) -> str:
        """The task's hash with the model it would run on now."""
        # The file may have been mended or replaced since the start: what was loaded last is the truth.
        return task_hash(task, self.engines[task.model].sha256 or self.identities[task.model])

    def vault(self, source: str, task: str) -> Vault | None:
        """The vault in which a file lies: the innermost watched folder, one of the same task before others."""
        inside = [
            (watch.task == task, len(str(watch.path)), vault)
            for watch, vault in zip(self.config.watch, self.bound.vaults, strict=True)
            if is_file(source) and path_of(source).is_relative_to(vault.folder)
        ]
        return max(inside, key=lambda row: row[:2])[2] if inside else None

    def is_watched(self, job: Job) -> bool:
        """Whether a watch of its task takes the file of a job, so that what becomes of it is a job of its own."""
        return any(
            watch.task == job.task and Selection(watch.resolved()).takes_file(path_of(job.source))
            for watch in self.config.watch
        )

    def engine(self, name: str) -> EngineClient:
        """The engine of a model; raises `NotFound`."""
        if name not in self.engines:
            raise NotFound(
                f"there is no model `{name}`: the config has {', '.join(self.engines)}", hint="agentd model list"
            )
        return self.engines[name]

    def refuse_measured(self, models: Iterable[str]) -> None:
        """Raise `ModelUnavailable` where one of these is being measured."""
        for name in self.measuring.intersection(models):
            raise ModelUnavailable(f"model {name} is being measured: `agentd model tune` is at work")

    def bind(self, name: str) -> tuple[str, str]:
        """What a new job of this task is bound to: (task hash, model name); raises `TaskError`."""
        task = self.task(name)
        return self.hash(task), task.model

    def is_stale(self, stored: StoredResult) -> bool:
        """Whether the task would be run differently now, or is gone."""
        try:
            return stored.task_hash != self.hash(self.task(stored.task))
        except TaskError:
            return True

    async def submit(self, name: str, paths: Sequence[Path], texts: Sequence[bytes], now: datetime) -> list[int]:
        """Add the jobs of an explicit run, which a person waits for; return their ids.

        A path that cannot be read becomes a failed job with the reason, so that the others are done.
        """
        task_hash, model = self.bind(name)
        occasion = f"run {timestamp(now)}"
        events, documents = list[Event](), list[Document]()
        for text in texts:
            document = await asyncio.to_thread(self.reader.read_stdin, text)
            documents.append(document)
            events.append(Event(name, document.source, document.content, occasion, Priority.INTERACTIVE))
        for path in paths:
            refusal = None
            try:
                content = (await asyncio.to_thread(self.reader.read, path, self.max_bytes)).content
            except AgentdError as error:
                content, refusal = f"{error.code}:{timestamp(now)}", error
            events.append(Event(name, source_of(path), content, occasion, Priority.INTERACTIVE, refusal))
        bound = [(event, task_hash, model) for event in events]
        ids = await self.store.write(queue.add_all, bound, now, documents)
        self.added.set()
        return ids

    async def rerun_stale(self, now: datetime) -> list[int]:
        """Add a job for every source whose newest result is stale; return their ids."""
        bound = []
        for stored in await self.store.read(results.latest):
            with contextlib.suppress(TaskError):
                if self.is_stale(stored) and (content := await self._content_now(stored)):
                    # Named after the result, so that asking twice adds nothing twice.
                    occasion = f"rerun of {stored.id}"
                    event = Event(stored.task, stored.source, content, occasion, Priority.BACKFILL)
                    bound.append((event, *self.bind(stored.task)))
        ids = await self.store.write(queue.add_all, bound, now)
        self.added.set()
        return ids

    async def _content_now(self, stored: StoredResult) -> str | None:
        """What stands at a result's source now; None where nothing can be read there any more."""
        if not is_file(stored.source):
            return stored.content
        try:
            return await asyncio.to_thread(content_of, path_of(stored.source), self.max_bytes)
        except InputError:
            return None

    async def load_choices(self) -> None:
        """Let every model run as it was measured best on this machine, from its next load on."""
        await self.bound.load_choices(self.store)

    async def load_vocabularies(self) -> None:
        """Let tasks choose from the words as they are now; raises `ConfigError`."""
        await self.bound.load_vocabularies()

    async def follow_vocabularies(self) -> None:
        """Take in words that came or went, until cancelled; a file that broke leaves them as they are."""
        while True:
            try:
                await attend(self.load_vocabularies())
            except ConfigError as broken:
                log.warning("%s", broken)
            await asyncio.sleep(VOCABULARY_SECONDS)

    async def write_views(self) -> None:
        """Make the view of every task that can be used, as its output is now."""
        for name, task in self.library.check().items():
            if isinstance(task, Task):
                await self.store.write(results.write_view, name, list(task.schema["properties"]))

    @contextlib.asynccontextmanager
    async def running_engine(self, model: str) -> AsyncIterator[EngineClient]:
        """An engine of our own for as long as the block runs; raises `ModelUnavailable`."""
        engine = self.engines[model]
        life = asyncio.create_task(engine.run())
        loaded = asyncio.create_task(engine.wait_loaded())
        try:
            await asyncio.wait({life, loaded}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()  # it ends only by an error, such as a process that cannot be started
            await loaded
            yield engine
        finally:
            loaded.cancel()
            life.cancel()
            await asyncio.wait({life, loaded})

    @contextlib.asynccontextmanager
    async def embedding_on_demand(self) -> AsyncIterator[None]:
        """The model for embeddings, where there is one, loads for a note that needs it while the block runs."""
        life = asyncio.create_task(self.vectors.engine.run()) if self.vectors else None
        try:
            yield
        finally:
            if life:
                life.cancel()
                await asyncio.wait({life})

    async def _let_none_wait(self, *, beyond: timedelta = timedelta(0)) -> None:
        await self.store.write(queue.clock_went_back, now(), beyond=beyond)
        await self.store.write(changes.clock_went_back, now(), beyond=beyond)

    async def heartbeat(self) -> None:
        """Keep the leases of this process's jobs, and free those that ran out, until cancelled."""
        # Nothing waits longer than this, unless the clock was ahead before we were started.
        await self._let_none_wait(beyond=retry.LONGEST)
        ahead = _wall_ahead()
        while True:
            tick()
            before, ahead = ahead, _wall_ahead()
            if before - ahead > STEP_SECONDS:
                log.warning("the clock went back by %.0f s: what waited for its time is tried now", before - ahead)
                await self._let_none_wait()
            await self.store.write(queue.heartbeat, self.owner, now())
            await asyncio.sleep(queue.HEARTBEAT_SECONDS)


@contextlib.asynccontextmanager
async def open_agent(paths: Paths, warn: Callable[[str], object] = lambda told: None) -> AsyncIterator[Agent]:
    """Open a home: read its config, open its database; raises `ConfigError` or `StoreError`.

    `warn` is told of what in the config should be written otherwise.
    """
    config = load_config(paths.config, warn)
    paths.make_folders()
    store = Store(paths.database)
    agent = Agent(paths, config, store)
    try:
        await agent.open()
        yield agent
    finally:
        agent.reader.close()
        store.close()


def now() -> datetime:
    """The time, as everything that is stored has it."""
    return datetime.now(UTC)


def _wall_ahead() -> float:
    """By how much the clock on the wall, which may be set, is ahead of the one that only goes on."""
    return now().timestamp() - time.monotonic()


async def _identify(settings: ModelSettings, store: Store) -> str:
    if settings.path == FAKE:
        return FAKE
    try:
        path = weights.find_weights(settings)
        stamp = weights.stamp(path)
        look = (stamp.path, stamp.size, stamp.mtime_ns, stamp.inode)
        known = await store.read(checksums.get, *look)
        if known is None:
            known = (await asyncio.to_thread(weights.checksum, settings, path)).sha256
            await store.write(checksums.put, *look, known)
    except (EngineError, OSError):
        # A model that cannot be read has no content yet; its jobs are bound anew when they run.
        return settings.path
    return known
