"""The owner's notes as evidence: what is tagged counts, what changes is learned at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentd.daemon import vault as daemon_vault
from agentd.daemon.vault import Vault
from agentd.readers.read import read_small
from agentd.store import vault
from agentd.store.database import Store
from agentd.tasks.evidence import VaultView
from agentd.triggers.settings import WatchSettings
from tests.actions.conftest import Home, tags


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "agentd.db")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(daemon_vault, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(daemon_vault, "PAUSE_FACTOR", 0)
    made = tmp_path / "notes"
    made.mkdir()
    return made


def make_vault(folder: Path, store: Store) -> Vault:
    return Vault(WatchSettings.model_validate({"path": str(folder), "task": "note-tagging"}), store)


def write(folder: Path, name: str, text: str, *tags: str) -> Path:
    note = folder / name
    note.write_text((f"---\ntags: [{', '.join(tags)}]\n---\n" if tags else "") + text)
    return note


async def look(vault: Vault, note: Path, *tags: str) -> VaultView:
    return await vault.look(read_small(note), tags, list(tags))


async def test_tagged_notes_that_are_alike_are_evidence(folder: Path, store: Store) -> None:
    for number in range(3):
        write(folder, f"g{number}.md", f"# Sowing {number}\nSow the peas in rows.\n", "garden")
        write(folder, f"k{number}.md", f"# Baking {number}\nKnead the dough well.\n", "kitchen")
    note = write(folder, "new.md", "# When to sow\nPeas go into the ground in March.\n")
    view = await look(make_vault(folder, store), note, "garden", "kitchen", "home")
    assert view.likeness["garden"] > view.likeness["kitchen"]
    assert "home" not in view.likeness
    assert view.tagged == {"garden": 3, "kitchen": 3, "home": 0}
    assert view.similar[0].tags == ("garden",)
    assert view.similar[0].source.startswith(str(folder / "g"))


async def test_a_note_says_nothing_about_itself(folder: Path, store: Store) -> None:
    note = write(folder, "a.md", "# Sowing\nSow peas.\n", "garden")
    view = await look(make_vault(folder, store), note, "garden")
    assert (view.likeness, view.tagged, view.similar) == ({}, {"garden": 0}, ())


async def test_a_correction_is_learned_before_the_next_note(folder: Path, store: Store) -> None:
    made = make_vault(folder, store)
    first = write(folder, "a.md", "# Sowing\nSow peas.\n", "kitchen")
    note = write(folder, "b.md", "# Sow\n")
    assert set((await look(made, note, "garden", "kitchen")).likeness) == {"kitchen"}
    write(folder, "a.md", "# Sowing\nSow peas.\n", "garden")
    assert set((await look(made, note, "garden", "kitchen")).likeness) == {"garden"}
    first.unlink()
    assert (await look(made, note, "garden", "kitchen")).likeness == {}


async def test_what_was_learned_is_there_after_a_restart(folder: Path, store: Store) -> None:
    write(folder, "a.md", "# Sowing\nSow peas.\n", "garden")
    note = write(folder, "b.md", "# Sow\n")
    before = await look(make_vault(folder, store), note, "garden")
    assert await look(make_vault(folder, store), note, "garden") == before
    assert await store.read(vault.count_tags, [str(folder)]) == {"garden": 1}


async def test_tags_that_were_given_without_asking_are_no_evidence(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    home = Home(tmp_path, store)
    asked, unasked = write(folder, "a.md", "# Sow\n"), write(folder, "b.md", "# Sow\n")
    for note, auto in ((asked, False), (unasked, True)):
        (change_id,) = await home.plan(note, tags(note, "garden", auto=auto))
        await home.effects.apply(change_id)
    view = await look(make_vault(folder, store), write(folder, "c.md", "# Sow\n"), "garden")
    assert (view.tagged, [one.source for one in view.similar]) == ({"garden": 1}, [str(asked)])


async def test_notes_that_cannot_be_read_are_no_evidence_and_no_trouble(folder: Path, store: Store) -> None:
    (folder / "broken.md").write_bytes(b"\xe9\xff")
    (folder / "open.md").write_text("---\ntags: [garden]\n")
    (folder / "yaml.md").write_text("---\ntags: [garden\n---\nSow.\n")
    (folder / "loop.md").symlink_to("loop.md")
    view = await look(make_vault(folder, store), write(folder, "a.md", "# Sow\n"), "garden")
    assert view.tagged == {"garden": 0}


async def test_what_another_process_indexed_is_learned_too(folder: Path, store: Store) -> None:
    first, other = make_vault(folder, store), make_vault(folder, store)
    note = write(folder, "new.md", "# Sow\n")
    write(folder, "a.md", "# Sowing\nSow peas.\n", "garden")
    assert (await look(first, note, "garden", "kitchen")).tagged == {"garden": 1, "kitchen": 0}
    write(folder, "a.md", "# Sowing\nSow peas, all of them.\n", "kitchen")
    await other.refresh()
    assert (await look(first, note, "garden", "kitchen")).tagged == {"garden": 0, "kitchen": 1}


async def test_two_looks_at_one_folder_with_other_files_do_not_undo_each_other(folder: Path, store: Store) -> None:
    write(folder, "a.md", "# Sowing\n", "garden")
    write(folder, "b.txt", "Knead. #kitchen\n")
    every = make_vault(folder, store)
    some = Vault(
        WatchSettings.model_validate({"path": str(folder), "task": "note-tagging", "include": ["*.txt"]}), store
    )
    for _ in range(2):
        await every.refresh()
        await some.refresh()
    assert await store.read(vault.count_tags, [every.root]) == {"garden": 1, "kitchen": 1}
    assert await store.read(vault.count_tags, [some.root]) == {"kitchen": 1}
    assert await store.read(vault.count_tags, await store.read(vault.roots)) == {"garden": 1, "kitchen": 1}
