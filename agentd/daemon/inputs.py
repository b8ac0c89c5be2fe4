"""The input of a job: a file, a text that the store keeps, or a bundle of files. Is it the same still?"""

import asyncio
import os
from pathlib import Path

from agentd.daemon.agent import Agent
from agentd.errors import InputError, Superseded, Vanished
from agentd.readers.bundle import Part, join
from agentd.readers.read import content_of
from agentd.records import Document, Job, is_bundle, is_file, is_stored, path_of, was_read
from agentd.store import backfills, bundles, changes, documents
from agentd.store.bundles import Member
from agentd.tasks.definition import Task


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
        return await asyncio.to_thread(_read_bundle, agent, job, task, members)
    try:
        document = await asyncio.to_thread(agent.reader.read, path_of(job.source), agent.max_bytes)
    except InputError:
        # What is wrong may be wrong with another content, in the middle of an edit.
        if was_read(job.content):
            await check_unchanged(agent, job.source, job.content)
        raise
    is_other = was_read(job.content) and document.content != job.content
    if is_other and not await agent.store.write(backfills.follow, job, document.content):
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


def _read_bundle(agent: Agent, job: Job, task: Task, members: list[Member]) -> Document:
    """All files of a bundle; raises `InputError` where none can be read, `Superseded` where all have changed."""
    files, changed = list[Part](), 0
    for member in members:
        path = path_of(member.source)
        name = os.path.relpath(path, path_of(job.source))
        part = _read_member(agent, task, path, name, member.content)
        changed += part is None
        files.append(part or Part(name, None, "it has changed since, and comes with a later job"))
    if changed == len(members):
        raise Superseded
    document = join(job.source, job.content, files)
    if not document.text:
        raise InputError(f"none of {len(members):,} files can be read: {document.unread[0]}")
    return document


def _read_member(agent: Agent, task: Task, path: Path, name: str, content: str) -> Part | None:
    """One file of a bundle, or why it cannot be read; None where it has another content by now."""
    try:
        document = agent.reader.read(path, agent.max_bytes)
    except InputError as refused:
        return Part(name, None, refused.message)
    if document.content != content:
        return None
    if task.reads and document.kind not in task.reads:
        return Part(name, None, f"{task.name} does not read {document.kind}")
    return Part(name, document)
