"""The input of a job: a file, a text that the store keeps, or a bundle of files. Is it the same still?"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from agentd.daemon.agent import Agent
from agentd.errors import InputError, Superseded, TooLarge, Vanished
from agentd.readers.bundle import MAX_CHARACTERS, Part, join
from agentd.readers.read import content_of
from agentd.records import Document, Job, folder_of, is_bundle, is_file, is_stored, path_of, was_read
from agentd.store import backfills, bundles, changes, documents
from agentd.store.bundles import Member
from agentd.tasks.definition import Task

NO_ROOM = "there is too much text before it"


async def read_input(agent: Agent, job: Job, task: Task) -> Document:
    """The job's document; raises `Superseded` where the file was given another content by now.

    What a change of ours gave it is no other content: the file is read as it is.
    """
    if is_stored(job.source):
        stored = await agent.store.read(documents.load_document, job.content, job.source)
        if stored is None:
            raise Vanished("its text is not stored any more")
        return stored
    if is_bundle(job.source):
        members = await agent.store.read(bundles.load, job.content)
        document, missed = await asyncio.to_thread(_read_bundle, agent, job, task, members)
        await agent.store.write(bundles.note_missed, job.content, missed)
        if document is None:
            raise Superseded("all of its files have changed since, or are gone")
        return document
    try:
        document = await asyncio.to_thread(agent.reader.read, path_of(job.source), agent.max_bytes)
    except InputError:
        # What is wrong may be wrong with another content, in the middle of an edit.
        if was_read(job.content):
            await check_unchanged(agent, job.source, job.content)
        raise
    if was_read(job.content) and document.content != job.content:
        # Where nobody watches, a backfill does the file as it is by now.
        followed = not agent.is_watched(job) and await agent.store.write(backfills.follow, job, document.content)
        if not followed:
            await _check_ours(agent, job.source, document.content)
    return document


async def check_unchanged(agent: Agent, source: str, content: str) -> None:
    """Raise `Superseded` where a file was given another content by now. One that moved is still true."""
    if is_file(source):
        try:
            found = await asyncio.to_thread(content_of, path_of(source), agent.max_bytes)
        except Vanished:
            return
        if found != content:
            await _check_ours(agent, source, found)


async def _check_ours(agent: Agent, source: str, content: str) -> None:
    """Raise `Superseded` where it was not a change of ours that left a file with this content."""
    if not await agent.store.read(changes.is_own, source, content):
        raise Superseded


def _read_bundle(
    agent: Agent, job: Job, task: Task, members: Sequence[Member]
) -> tuple[Document | None, list[str]]:
    """All files of a bundle, None where none can be read; and those that are not there as they were taken.

    Raises `InputError` where nothing but bad files is left.
    """
    files, missed, room = list[Part](), list[str](), MAX_CHARACTERS
    for member in members:
        path = path_of(member.source)
        name = os.path.relpath(path, folder_of(job.source))
        try:
            document = _read_member(agent, task, path, member.content, room)
            files.append(Part(name, document))
            room -= len(document.text)
        except (Superseded, Vanished) as gone:
            missed.append(member.source)
            files.append(Part(name, None, gone.message))
        except InputError as refused:
            files.append(Part(name, None, refused.message))
    if len(missed) == len(members):
        return None, missed
    joined = join(job.source, job.content, files)
    if not joined.text:
        raise InputError(f"none of {len(members):,} files can be read: {joined.unread[0]}")
    return joined, missed


def _read_member(agent: Agent, task: Task, path: Path, content: str, room: int) -> Document:
    """One file of a bundle, of at most `room` characters.

    Raises `Superseded` or `Vanished` where it is another by now, and `InputError`.
    """
    if room <= 0:
        raise TooLarge(NO_ROOM)
    document = agent.reader.read(path, agent.max_bytes)
    if document.content != content:
        raise Superseded("it has changed since, and comes with a later job")
    if task.reads and document.kind not in task.reads:
        raise InputError(f"{task.name} does not read {document.kind}")
    if len(document.text) > room:
        raise TooLarge(NO_ROOM)
    return document
