"""A real folder, a real store, and a trigger between them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentd.errors import AgentdError
from agentd.records import path_of
from agentd.store import bundles, positions
from agentd.store.database import Database, Store
from agentd.store.positions import Taken
from agentd.triggers import folder
from agentd.triggers.folder import FolderTrigger
from agentd.triggers.settings import WatchSettings
from tests.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "agentd.db")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trigger that does not wait for people."""
    monkeypatch.setattr(folder, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(folder, "RETRY_SECONDS", 0.1)


class Watched:
    """A folder and what its trigger made of it."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self.store = store
        self.announced: list[int] = []
        self.emitted: list[Taken] = []
        self.refuse: list[AgentdError] = []  # raised by the next emits
        self.settings: dict[str, Any] = {"task": "tag", "settle": "100ms"}
        self.trigger: FolderTrigger

    @contextlib.asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[FolderTrigger]:
        """Run a trigger on the folder, as a start of the daemon does."""
        watch = WatchSettings.model_validate(self.settings | {"path": str(self.root)} | settings)
        self.trigger = FolderTrigger(watch, self.store, self._emit, self._announce)
        life = asyncio.create_task(self.trigger.run())
        try:
            await wait_until(lambda: self.trigger.scanned.is_set() or life.done(), what="the first scan")
            yield self.trigger
        finally:
            life.cancel()
            await asyncio.wait({life})
        assert life.cancelled(), life.exception()

    async def _emit(self, watch: WatchSettings, taken: Sequence[Taken]) -> Sequence[int]:
        if self.refuse:
            raise self.refuse.pop(0)
        bind, now = lambda task: ("h1", "main"), datetime.now(UTC)
        if watch.per == "folder":
            ids = (await self.store.write(bundles.take, taken, watch.path, watch.mode, bind, now)).added
        else:
            ids = await self.store.write(positions.take, taken, bind, now)
        self.emitted += taken
        return ids

    async def _announce(self, _watch: WatchSettings, count: int) -> None:
        self.announced.append(count)

    def write(self, name: str, text: str = "text") -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    async def jobs(self) -> list[dict[str, Any]]:
        def read(db: Database) -> list[dict[str, Any]]:
            return list(
                db.query("SELECT source, content, occasion, priority, state, reason FROM jobs ORDER BY id")
            )

        return await self.store.read(read)

    async def names(self) -> list[str]:
        """The files of all jobs, in the order in which they were added."""
        return [str(path_of(job["source"]).relative_to(self.root.resolve())) for job in await self.jobs()]

    async def wait_jobs(self, count: int) -> list[dict[str, Any]]:
        """Wait for exactly so many jobs."""

        async def enough() -> list[dict[str, Any]] | None:
            jobs = await self.jobs()
            return jobs if len(jobs) >= count else None

        jobs = await wait_until(enough, what=f"{count} jobs")
        assert jobs is not None
        assert len(jobs) == count, jobs
        return jobs

    async def end_job(self, state: str = "done") -> None:
        """Let every job reach its end."""

        def end(db: Database) -> None:
            db.execute("UPDATE jobs SET state = ? WHERE state = 'queued'", [state])

        await self.store.write(end)

    async def quiet(self) -> None:
        """Wait until a file written after everything else was taken, so that what comes before it was seen."""
        before = len(await self.jobs())
        self.write(f"marker-{before}.md", f"marker {before}")
        await self.wait_jobs(before + 1)


@pytest.fixture
def watched(tmp_path: Path, store: Store) -> Watched:
    root = tmp_path / "notes"
    root.mkdir()
    return Watched(root, store)
