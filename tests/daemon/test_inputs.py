"""What becomes of a job's input between the moment it was taken and the moment it is read."""

from pathlib import Path

import pytest

from agentd.daemon import inputs
from agentd.daemon.agent import Agent, now
from agentd.daemon.inputs import read_input
from agentd.errors import InputError, Superseded
from agentd.records import Document, Event, Job, Priority
from agentd.store import backfills, bundles, queue
from agentd.store.database import Database
from agentd.store.positions import Stamp, Taken
from tests.making import sha


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "notes"
    made.mkdir()
    return made


async def take(agent: Agent, folder: Path, **files: str) -> Job:
    """The claimed job of a bundle of these files, by name without suffix."""
    taken = []
    for name, text in files.items():
        path = folder / f"{name}.md"
        path.write_text(text)
        taken.append(Taken(Event("note-tagging", str(path), sha(text)), Stamp(1, 1, 1)))
    await agent.store.write(bundles.take, taken, folder, "queued", agent.bind, now())
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    return job


async def read(agent: Agent, job: Job) -> Document:
    return await read_input(agent, job, agent.task(job.task))


async def missed(agent: Agent) -> list[str]:
    def load(db: Database) -> list[str]:
        return [Path(row["source"]).name for row in db.query("SELECT source FROM bundles WHERE missed ORDER BY 1")]

    return await agent.store.read(load)


async def test_files_that_changed_or_went_are_told_and_the_others_read(agent: Agent, folder: Path) -> None:
    job = await take(agent, folder, a="alpha", b="beta", c="gamma", d="---\ntitle: never closed\n")
    (folder / "b.md").write_text("another")
    (folder / "c.md").unlink()
    document = await read(agent, job)
    assert "alpha" in document.text
    assert "another" not in document.text
    assert [told.split(":")[0] for told in document.unread] == ["b.md", "c.md", "d.md"]
    assert "has changed since" in document.unread[0]
    assert (document.length, await missed(agent)) == (4, ["b.md", "c.md"])


async def test_a_bundle_of_which_nothing_is_as_it_was_is_superseded(agent: Agent, folder: Path) -> None:
    job = await take(agent, folder, a="alpha", b="beta")
    (folder / "a.md").unlink()
    (folder / "b.md").write_text("another")
    with pytest.raises(Superseded):
        await read(agent, job)
    assert await missed(agent) == ["a.md", "b.md"]


async def test_a_bundle_of_bad_files_alone_fails_with_the_first_reason(agent: Agent, folder: Path) -> None:
    job = await take(agent, folder, a="", b="---\ntitle: never closed\n")
    with pytest.raises(InputError, match=r"none of 2 files can be read: a\.md: .* is empty"):
        await read(agent, job)


async def test_no_more_is_read_than_there_is_room_for(
    agent: Agent, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "MAX_CHARACTERS", 6)
    job = await take(agent, folder, a="alpha", b="beta", c="x", d="y")
    document = await read(agent, job)
    assert document.text == "## a.md\n\nalpha\n\n## c.md\n\nx"
    assert document.unread == (
        "b.md: there is too much text before it",
        "d.md: there is too much text before it",
    )
    assert await missed(agent) == []


async def test_a_backfill_does_a_file_as_it_is_by_now_where_nobody_watches(agent: Agent, folder: Path) -> None:
    note = folder / "a.md"
    note.write_text("before")
    found = await agent.store.write(backfills.begin, "note-tagging", [str(note)], False, now())
    event = Event("note-tagging", str(note), sha("before"), priority=Priority.BACKFILL)
    await agent.store.write(backfills.add, found.id, [event], 0, *agent.bind("note-tagging"), now())
    job = await agent.store.write(queue.claim, agent.owner, "main", now())
    assert job is not None
    note.write_text("after")
    assert (await read(agent, job)).text == "after"
    assert (await agent.store.read(queue.get, job.id)).content == sha("after")
