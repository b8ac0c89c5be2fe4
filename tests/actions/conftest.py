"""A store with a result, whose changes are carried out on real files."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentd.actions.confine import Place, open_place
from agentd.actions.effects import Effects
from agentd.actions.files import digest
from agentd.actions.settings import ActionSettings
from agentd.records import Plan
from agentd.store import changes, queue, results
from agentd.store.database import Database, Store
from tests.making import NOW, make_document, make_event, make_result

OWNER = "boot:1:1"


def plan_changes(db: Database, path: Path, plans: Sequence[Plan], occasion: str = "") -> list[int]:
    """A finished job on a file, and what it planned; an operation for a store."""
    raw = path.read_bytes()
    document = make_document(raw.decode("utf-8", "replace"), source=str(path))
    event = make_event(str(path), raw.decode("utf-8", "replace"), occasion=occasion)
    queue.add(db, event, "hash", "main", NOW)
    job = queue.claim(db, OWNER, "main", NOW)
    assert job is not None
    result_id = results.complete(db, job, OWNER, "hash", make_result(), document, NOW)
    return changes.plan(
        db, plans, result_id=result_id, task=job.task, source=str(path), content=digest(raw), now=NOW
    )


def tags(path: Path, *words: str, auto: bool = False) -> Plan:
    """A change that gives a note tags."""
    return Plan("frontmatter", str(path), {"set": {"tags": list(words)}}, auto)


class Home:
    """A folder of notes, a target, and the effects on them."""

    def __init__(self, folder: Path, store: Store, **settings: Any) -> None:
        self.notes, self.target = folder / "notes", folder / "target"
        for made in (self.notes, self.target):
            made.mkdir(exist_ok=True)
        self.store = store
        self.settings = ActionSettings.model_validate({"targets": {"archive": str(self.target)}, **settings})
        roots = [self.notes, *self.settings.targets.values()]
        self.effects = Effects(store, self.settings, roots)

    def write(self, name: str, text: str) -> Path:
        """A note."""
        path = self.notes / name
        path.write_text(text)
        return path

    async def plan(self, path: Path, *plans: Plan, occasion: str = "") -> list[int]:
        """Changes of a new result on a note."""
        return await self.store.write(plan_changes, path, plans, occasion)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    store = Store(tmp_path / "agentd.db")
    yield Home(tmp_path, store)
    store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def note(folder: Path) -> Iterator[Place]:
    (folder / "a.md").write_bytes(b"before")
    with open_place([folder], folder / "a.md") as place:
        yield place


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
