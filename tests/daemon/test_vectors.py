"""Vectors of notes: made behind everything else, used as far as they are there, and never waited for."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agentd.daemon import vault as daemon_vault
from agentd.daemon import vectors as daemon_vectors
from agentd.daemon.agent import Agent, open_agent
from agentd.daemon.vault import Vault
from agentd.daemon.vectors import NoteVectors
from agentd.engine.fake import word_vector
from agentd.engine.settings import ModelSettings
from agentd.errors import AgentdError, BrokenTask, EngineCrashed, ModelUnavailable
from agentd.model import Embeddings
from agentd.paths import Paths
from agentd.readers.read import read_small
from agentd.records import Priority
from agentd.store import vectors
from agentd.store.database import Store
from agentd.tasks.evidence import Near
from agentd.triggers.settings import WatchSettings
from tests.waiting import wait_until


class ScriptedEmbedder:
    """Looks like an `EngineClient` for embeddings; texts with `poison` in them break it."""

    def __init__(self) -> None:
        self.name = "notes"
        self.settings = ModelSettings(path="fake", use="embeddings")
        self.sha256 = "ab" * 32
        self.loaded = True
        self.asked: list[tuple[list[str], Priority]] = []
        self.error: AgentdError | None = None
        self.going = asyncio.Event()
        self.going.set()

    def demand(self, *, person: bool = False) -> None: ...

    async def wait_loaded(self) -> None:
        if self.error:
            raise self.error

    async def embed(
        self, texts: Sequence[str], priority: Priority = Priority.TRIGGERED, seconds: float = 300.0
    ) -> Embeddings:
        self.asked.append((list(texts), priority))
        if priority is Priority.BACKFILL:
            await self.going.wait()
        if any("poison" in text for text in texts):
            raise EngineCrashed("died of SIGSEGV")
        return Embeddings(tuple(map(word_vector, texts)), 1)

    @property
    def texts(self) -> list[str]:
        return [text for texts, _ in self.asked for text in texts]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "agentd.db")
    yield opened
    opened.close()


@pytest.fixture
def embedder() -> ScriptedEmbedder:
    return ScriptedEmbedder()


@pytest.fixture
def made(store: Store, embedder: ScriptedEmbedder, monkeypatch: pytest.MonkeyPatch) -> NoteVectors:
    monkeypatch.setattr(daemon_vault, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(daemon_vault, "PAUSE_FACTOR", 0)
    monkeypatch.setattr(daemon_vectors, "RETRY_SECONDS", 0.01)
    return NoteVectors(embedder, store)  # type: ignore[arg-type]


@pytest.fixture
def vault(tmp_path: Path, store: Store, made: NoteVectors) -> Vault:
    folder = tmp_path / "notes"
    folder.mkdir()
    return Vault(WatchSettings.model_validate({"path": str(folder), "task": "note-tagging"}), store, made)


def write(vault: Vault, name: str, text: str, *tags: str) -> Path:
    note = Path(vault.root) / name
    note.write_text((f"---\ntags: [{', '.join(tags)}]\n---\n" if tags else "") + text)
    return note


async def near(vault: Vault, note: Path) -> Near | None:
    return (await vault.look(read_small(note), ["garden", "kitchen"], [])).near


@contextlib.asynccontextmanager
async def working(made: NoteVectors) -> AsyncIterator[None]:
    life = asyncio.create_task(made.run())
    try:
        yield
    finally:
        life.cancel()
        await asyncio.wait({life})


async def all_embedded(made: NoteVectors, store: Store) -> bool:
    done, notes = await store.read(vectors.count, made.key)
    return done == notes > 0


async def test_near_notes_speak_for_their_tags(vault: Vault, made: NoteVectors, store: Store) -> None:
    for number in range(3):
        write(vault, f"g{number}.md", f"Sow peas and beans in rows {number}", "garden")
        write(vault, f"k{number}.md", f"Knead the dough and bake bread {number}", "kitchen")
    note = write(vault, "new.md", "Sow beans in rows")
    async with working(made):
        await vault.refresh()
        await wait_until(lambda: all_embedded(made, store), what="vectors of all tagged notes")
        found = await near(vault, note)
    assert found is not None
    assert found.nats["garden"] > 0 > found.nats["kitchen"]
    assert (found.compared, found.similar[0].tags) == (6, ("garden",))


async def test_a_note_is_embedded_once_whatever_happens_to_its_tags(
    vault: Vault, made: NoteVectors, store: Store, embedder: ScriptedEmbedder
) -> None:
    note = write(vault, "a.md", "Sow peas")
    await near(vault, note)
    async with working(made):
        write(vault, "a.md", "Sow peas", "garden")
        await vault.refresh()
        await wait_until(lambda: all_embedded(made, store), what="the vector")
        write(vault, "a.md", "Sow peas", "garden", "kitchen")
        await near(vault, note)
        write(vault, "b.md", "Another", "garden")
        await vault.refresh()
        await wait_until(lambda: "Another" in embedder.texts, what="the other note")
    assert embedder.texts == ["Sow peas", "Another"]


async def test_notes_that_are_not_urgent_wait_while_backfills_do_and_one_that_is_tagged_does_not(
    vault: Vault, made: NoteVectors, store: Store, embedder: ScriptedEmbedder
) -> None:
    made.pause(True)
    write(vault, "a.md", "Sow peas", "garden")
    note = write(vault, "new.md", "Bake bread")
    async with working(made):
        await vault.refresh()
        await near(vault, note)
        assert embedder.texts == ["Bake bread"]
        made.pause(False)
        await wait_until(lambda: all_embedded(made, store), what="the vector")
    assert embedder.texts == ["Bake bread", "Sow peas"]


async def test_a_note_is_compared_with_what_is_there_and_waits_for_nothing(
    vault: Vault, made: NoteVectors, embedder: ScriptedEmbedder
) -> None:
    embedder.going.clear()
    for number in range(40):
        write(vault, f"{number}.md", f"Sow peas {number}", "garden")
    note = write(vault, "new.md", "Sow beans")
    async with working(made):
        await vault.refresh()
        await wait_until(lambda: embedder.asked, what="the first of the others")
        found = await near(vault, note)
        assert found is not None and found.compared == 0
        embedder.going.set()
        await wait_until(lambda: all_embedded(made, vault._store), what="all")
        found = await near(vault, note)
        assert found is not None and found.compared == 40
    assert [priority for texts, priority in embedder.asked if texts == ["Sow beans"]] == [Priority.TRIGGERED]
    assert max(len(texts) for texts, _ in embedder.asked) == daemon_vectors.GROUP_TEXTS


async def test_a_note_that_kills_the_model_is_given_up_and_the_others_are_done(
    vault: Vault, made: NoteVectors, embedder: ScriptedEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "poison", "b"):
        write(vault, f"{name}.md", f"About {name}", "garden")
    caplog.set_level(logging.WARNING, "agentd.vault")
    async with working(made):
        await vault.refresh()
        await wait_until(lambda: made._failures.total() == 3 + 2, what="the end of the tries")
        await wait_until(lambda: {"About a", "About b"} <= set(embedder.texts[3:]), what="the others")
    alone = [texts for texts, _ in embedder.asked if texts == ["About poison"]]
    assert len(alone) == 2, "three tries in all, the first beside others"
    assert "notes are tagged without embeddings for now: died of SIGSEGV" in caplog.text
    assert await near(vault, Path(vault.root) / "poison.md") is None


async def test_without_the_model_notes_are_tagged_without_it_until_it_is_back(
    vault: Vault, made: NoteVectors, store: Store, embedder: ScriptedEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.error = ModelUnavailable("cannot open the model /m/gone.gguf")
    note = write(vault, "a.md", "Sow peas", "garden")
    async with working(made):
        for _ in range(3):
            assert await near(vault, note) is None
        assert caplog.text.count("gone.gguf") == 1
        embedder.error = None
        await wait_until(lambda: all_embedded(made, store), what="the vector")


async def test_vectors_of_another_model_are_not_compared_and_then_dropped(
    vault: Vault, made: NoteVectors, store: Store, embedder: ScriptedEmbedder
) -> None:
    write(vault, "a.md", "Sow peas", "garden")
    await vault.refresh()
    await made.catch_up()
    before = made.key
    embedder.sha256 = "cd" * 32
    found = await near(vault, write(vault, "new.md", "Sow"))
    assert found is not None and found.compared == 0
    async with working(made):
        await wait_until(lambda: all_embedded(made, store), what="the new vectors")
        await wait_until(
            lambda: asyncio.ensure_future(is_forgotten(store, before)), what="the end of the old ones"
        )


async def is_forgotten(store: Store, key: str) -> bool:
    return (await store.read(vectors.count, key))[0] == 0


CONFIG = "models: {main: {path: fake}, notes: {path: fake, use: embeddings}}\nvocabularies: {tags: [a]}\n"


@pytest.fixture
async def agent(paths: Paths) -> AsyncIterator[Agent]:
    paths.config.write_text(CONFIG)
    paths.make_folders()
    async with open_agent(paths) as opened:
        yield opened


async def test_a_model_for_embeddings_does_no_tasks(agent: Agent, paths: Paths) -> None:
    shipped = agent.task("note-tagging").file.read_text()
    (paths.tasks / "wrong.md").write_text(shipped.replace("name: note-tagging", "name: wrong\nmodel: notes"))
    with pytest.raises(
        BrokenTask, match=r"the model `notes` is for embeddings and does no tasks \(there is main\)"
    ):
        agent.task("wrong")
