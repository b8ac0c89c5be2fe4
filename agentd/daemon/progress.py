"""Keeps the parts of one job's long document in the store, and says how far it is."""

from agentd.store import parts
from agentd.store.database import Store
from agentd.tasks.long import Done


class JobProgress:
    """The progress of one job."""

    def __init__(self, store: Store, job_id: int) -> None:
        self._store, self._job_id = store, job_id

    async def load(self, key: str) -> Done | None:
        """What an earlier try of the job kept under this key."""
        kept = await self._store.read(parts.load, self._job_id, key)
        return Done(*kept) if kept else None

    async def save(self, key: str, done: Done) -> None:
        """Keep what is done."""
        await self._store.write(parts.save, self._job_id, key, done.output, done.tokens, done.generation)

    async def tell(self, done: int, total: int, what: str) -> None:
        """Say how far the job is."""
        await self._store.write(parts.tell, self._job_id, f"{done:,}/{total:,} {what}")
