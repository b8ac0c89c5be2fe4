"""What results do to files, bound together: several tasks on one file, folders in folders, changes on changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.daemon.agent import Agent, now, open_agent
from agentd.errors import ChangedSince, StoreError
from agentd.paths import Paths
from agentd.records import Change, ChangeState, Event, JobState, Plan, Priority, path_of
from agentd.store import changes, positions, queue
from agentd.store.positions import Stamp, Taken
from tests.daemon.scripted import Answer, ScriptedEngine
from tests.daemon.working import get, working
from tests.making import sha
from tests.waiting import wait_until

CONFIG = """\
models: {{main: {{path: fake}}}}
watch:
  - {{path: "{base}/notes", task: tag, apply: auto}}
  - {{path: "{base}/notes/private", task: tag, apply: review}}
  - {{path: "{base}/notes", task: name, apply: auto}}
  - {{path: "{base}/archive", task: tag, apply: auto}}
actions:
  targets: {{archive: "{base}/archive"}}
  webhooks: {{nobody: {{url: "http://127.0.0.1:1/"}}}}
"""
TASK = """\
---
name: {name}
description: {name}
output:
  {field}: {{type: string, maxLength: 40}}
actions:
  - {action}
---
Do it.
"""
ACTIONS = {
    "tag": ("tag", 'frontmatter: {set: {tag: "{{ tag }}"}}'),
    "name": ("title", 'frontmatter: {set: {title: "{{ title }}"}}'),
}
PEAS = "# Peas\n\nSow them.\n"


@pytest.fixture
async def agent(paths: Paths, tmp_path: Path) -> AsyncIterator[Agent]:
    paths.config.write_text(CONFIG.format(base=tmp_path))
    paths.make_folders()
    for folder in ("notes/private", "archive"):
        (tmp_path / folder).mkdir(parents=True)
    for name, (field, action) in ACTIONS.items():
        (paths.tasks / f"{name}.md").write_text(TASK.format(name=name, field=field, action=action))
    async with open_agent(paths) as opened:
        opened.engines["main"] = ScriptedEngine("main")  # type: ignore[assignment]
        yield opened


async def see(agent: Agent, path: Path, task: str) -> int | None:
    """A watch finds the file as it is now; the job that comes of it."""
    looks = path.stat()
    event = Event(task, str(path), sha(path.read_text()), priority=Priority.TRIGGERED)
    taken = Taken(event, Stamp(looks.st_ino, looks.st_size, looks.st_mtime_ns))
    added = await agent.store.write(positions.take, [taken], agent.bind, now())
    return added[0] if added else None


async def answer(agent: Agent, *answers: Answer) -> None:
    """Work until as many jobs have ended."""
    agent.engines["main"].answers += answers  # type: ignore[attr-defined]
    async with working(agent):

        async def ended() -> bool:
            return not await agent.store.read(queue.is_due, "main", now())

        await wait_until(lambda: not agent.engines["main"].answers)  # type: ignore[attr-defined]
        await wait_until(ended)


async def all_changes(agent: Agent) -> list[Change]:
    return (await agent.store.read(changes.find))[::-1]


async def test_two_tasks_on_one_file_both_have_their_way(agent: Agent, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text(PEAS)
    tagging, naming = await see(agent, note, "tag"), await see(agent, note, "name")
    assert tagging is not None
    assert naming is not None
    await answer(agent, '{"tag": "garden"}', '{"title": "Peas"}')
    first, second = await all_changes(agent)
    await agent.changes.effects.apply(first.id)
    await agent.changes.effects.apply(second.id)
    # Whichever job came to its end first.
    opened, header, body = note.read_text().split("---\n")
    assert (opened, sorted(header.splitlines()), body) == ("", ["tag: garden", "title: Peas"], PEAS)
    assert [await see(agent, note, task) for task in ("tag", "name")] == [None, None]


async def test_a_job_that_waited_while_another_task_changed_its_file_is_done(agent: Agent, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text(PEAS)
    await see(agent, note, "tag")
    await answer(agent, '{"tag": "garden"}')
    naming = await see(agent, note, "name")
    assert naming is not None
    (change,) = await all_changes(agent)
    await agent.changes.effects.apply(change.id)
    assert await see(agent, note, "name") is None  # our own writing is no news
    await answer(agent, '{"title": "Peas"}')
    job = await get(agent, naming)
    assert job.state is JobState.DONE
    await agent.changes.effects.apply((await all_changes(agent))[-1].id)
    assert note.read_text() == f"---\ntag: garden\ntitle: Peas\n---\n{PEAS}"


async def test_an_edit_of_the_owner_in_between_is_a_job_of_its_own(agent: Agent, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text(PEAS)
    naming = await see(agent, note, "name")
    assert naming is not None
    note.write_text(PEAS + "More.\n")
    async with working(agent):

        async def ended() -> bool:
            return (await get(agent, naming)).state.final

        await wait_until(ended)
    assert (await get(agent, naming)).reason == "superseded"
    assert await see(agent, note, "name") is not None


async def test_the_innermost_folder_says_whether_changes_need_asking(agent: Agent, tmp_path: Path) -> None:
    outer, inner = tmp_path / "notes" / "a.md", tmp_path / "notes" / "private" / "b.md"
    for note in (outer, inner):
        note.write_text(f"# {note.name}\n\nText.\n")
        await see(agent, note, "tag")
    await answer(agent, '{"tag": "x"}', '{"tag": "x"}')
    assert {path_of(one.path).name: one.auto for one in await all_changes(agent)} == {"a.md": True, "b.md": False}


async def planned(agent: Agent, note: Path, *plans: Plan) -> list[int]:
    """Changes of a result on a note."""
    await see(agent, note, "tag")
    await answer(agent, '{"tag": "garden"}')
    (tag,) = await all_changes(agent)

    def add(db: object) -> list[int]:
        return changes.plan(
            db,  # type: ignore[arg-type]
            plans,
            result_id=tag.result_id,
            task="tag",
            source=str(note),
            content=tag.content,
            now=now(),
        )

    return [tag.id, *await agent.store.write(add)]


async def test_of_a_chain_any_link_can_be_undone_where_nothing_stands_on_it(agent: Agent, tmp_path: Path) -> None:
    note, filed = tmp_path / "notes" / "a.md", tmp_path / "archive" / "peas.md"
    note.write_text(PEAS)
    move = Plan("move", str(note), {"to": str(filed), "on_conflict": "fail"})
    title = Plan("frontmatter", str(note), {"set": {"title": "Peas"}})
    tag, moved, titled = await planned(agent, note, move, title)
    for change_id in (tag, moved, titled):
        await agent.changes.effects.apply(change_id)
    assert filed.read_text() == f"---\ntag: garden\ntitle: Peas\n---\n{PEAS}"
    # The folder it went to is watched by the same task, and by another one not: neither takes it for news.
    assert await see(agent, filed, "tag") is None
    with pytest.raises(ChangedSince, match=f"changed again by change {titled}, so change {tag} stays") as told:
        await agent.changes.undo(tag)
    assert told.value.hint == f"agentd changes undo {titled} {tag}"
    # The one in the middle moves the file back, with all that was made of it since.
    await agent.changes.undo(moved)
    assert note.read_text() == f"---\ntag: garden\ntitle: Peas\n---\n{PEAS}"
    assert await see(agent, note, "tag") is None
    await agent.changes.undo(titled)
    await agent.changes.undo(tag)
    assert note.read_text() == PEAS
    assert not filed.exists()
    assert await see(agent, note, "tag") is None


async def test_front_matter_can_be_undone_where_its_file_has_moved_since(agent: Agent, tmp_path: Path) -> None:
    note, filed = tmp_path / "notes" / "a.md", tmp_path / "archive" / "peas.md"
    note.write_text(PEAS)
    mtime_ns = note.stat().st_mtime_ns
    move = Plan("move", str(note), {"to": str(filed), "on_conflict": "fail"})
    for change_id in (ids := await planned(agent, note, move)):
        await agent.changes.effects.apply(change_id)
    await agent.changes.undo(ids[0])
    assert (filed.read_text(), filed.stat().st_mtime_ns) == (PEAS, mtime_ns)
    await agent.changes.undo(ids[1])
    assert (note.read_text(), note.stat().st_mtime_ns) == (PEAS, mtime_ns)


async def test_changes_follow_a_file_that_its_owner_moves(agent: Agent, tmp_path: Path) -> None:
    note, elsewhere = tmp_path / "notes" / "a.md", tmp_path / "notes" / "b.md"
    note.write_text(PEAS)
    beside = Plan("sidecar", str(note), {"to": str(note.with_name("a.agentd.md")), "text": "x\n"})
    tag, sidecar = await planned(agent, note, beside)
    note.rename(elsewhere)
    await agent.store.write(positions.mark_gone, "tag", [str(note)], now())
    assert await see(agent, elsewhere, "tag") is None
    await agent.changes.effects.apply(sidecar)
    await agent.changes.effects.apply(tag)
    assert elsewhere.read_text() == f"---\ntag: garden\n---\n{PEAS}"
    assert (tmp_path / "notes" / "b.agentd.md").read_text() == "x\n"


async def test_what_is_planned_for_a_file_that_moves_meanwhile_is_made_where_it_is(
    agent: Agent, tmp_path: Path
) -> None:
    note, elsewhere = tmp_path / "notes" / "a.md", tmp_path / "notes" / "b.md"
    note.write_text(PEAS)
    await see(agent, note, "tag")

    async def move_first() -> str:
        note.rename(elsewhere)
        await agent.store.write(positions.mark_gone, "tag", [str(note)], now())
        assert await see(agent, elsewhere, "tag") is None
        return '{"tag": "garden"}'

    await answer(agent, move_first)
    (tag,) = await all_changes(agent)
    await agent.changes.effects.apply(tag.id)
    assert elsewhere.read_text() == f"---\ntag: garden\n---\n{PEAS}"


async def test_a_sidecar_is_no_document_even_where_its_owner_edits_it(agent: Agent, tmp_path: Path) -> None:
    note, beside = tmp_path / "notes" / "a.md", tmp_path / "notes" / "a.agentd.md"
    note.write_text(PEAS)
    (sidecar,) = (await planned(agent, note, Plan("sidecar", str(note), {"to": str(beside), "text": "x\n"})))[1:]
    await agent.changes.effects.apply(sidecar)
    assert await see(agent, beside, "tag") is None
    beside.write_text("x\nMine.\n")
    assert [await see(agent, beside, task) for task in ("tag", "name")] == [None, None]
    with pytest.raises(ChangedSince, match=r"\+Mine\."):
        await agent.changes.undo(sidecar)
    beside.unlink()
    await agent.changes.undo(sidecar)  # taken back by hand
    assert (await agent.store.read(changes.get, sidecar)).state is ChangeState.UNDONE


async def test_one_sidecar_is_never_written_over_that_of_another_document_or_task(
    agent: Agent, tmp_path: Path
) -> None:
    note, other = tmp_path / "notes" / "a.md", tmp_path / "notes" / "a.txt"
    note.write_text(PEAS)
    beside = str(tmp_path / "notes" / "a.agentd.md")
    (first,) = (await planned(agent, note, Plan("sidecar", str(note), {"to": beside, "text": "x\n"})))[1:]
    await agent.changes.effects.apply(first)
    change = await agent.store.read(changes.get, first)
    assert await agent.store.read(changes.is_sidecar, change, beside, change.after or "")
    of_other = [replace(change, path=str(other)), replace(change, task="name")]
    for one in of_other:
        assert not await agent.store.read(changes.is_sidecar, one, beside, change.after or "")


async def test_an_append_into_a_watched_folder_and_its_undo_are_no_news(agent: Agent, tmp_path: Path) -> None:
    note, log = tmp_path / "notes" / "a.md", tmp_path / "archive" / "log.md"
    note.write_text(PEAS)
    log.write_text("# Log\n\nMine.\n")
    assert await see(agent, log, "tag") is not None
    await answer(agent, '{"tag": ""}')
    (line,) = (await planned(agent, note, Plan("append", str(note), {"to": str(log), "text": "- Peas\n"})))[1:]
    await agent.changes.effects.apply(line)
    assert log.read_text() == "# Log\n\nMine.\n- Peas\n"
    assert await see(agent, log, "tag") is None
    await agent.changes.undo(line)
    assert log.read_text() == "# Log\n\nMine.\n"
    assert await see(agent, log, "tag") is None


async def test_a_webhook_that_nobody_answers_keeps_no_note_waiting(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text(PEAS)
    hook = Plan("webhook", str(note), {"to": "nobody"}, auto=True)
    tag, called = await planned(agent, note, hook)
    asked, give_up = asyncio.Event(), asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await give_up.wait()

    monkeypatch.setattr("agentd.actions.webhook.post", never)
    running = asyncio.create_task(agent.changes.run())
    await asyncio.wait_for(asked.wait(), 30)

    async def done() -> bool:
        return (await agent.store.read(changes.get, tag)).state is ChangeState.APPLIED

    await wait_until(done)
    assert (await agent.store.read(changes.get, called)).state is ChangeState.APPLYING
    # A stop lets it come to its end.
    running.cancel()
    give_up.set()
    await asyncio.wait([running])
    assert (await agent.store.read(changes.get, called)).state is ChangeState.APPLIED


async def test_a_change_whose_end_the_database_did_not_take_is_taken_up_again(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text(PEAS)
    (tag,) = await planned(agent, note)

    def full(*_: object) -> None:
        raise StoreError("no space left for the database")

    with monkeypatch.context() as patch:
        patch.setattr(changes, "finish", full)
        with pytest.raises(StoreError):
            await agent.changes.effects.apply(tag)
    assert (await agent.store.read(changes.get, tag)).state is ChangeState.APPLYING
    assert await agent.changes.effects.recover() == 1
    assert (await agent.store.read(changes.get, tag)).state is ChangeState.APPLIED
    assert note.read_text() == f"---\ntag: garden\n---\n{PEAS}"
