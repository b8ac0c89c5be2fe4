"""Binds results to what they may do: plans changes with each result, applies those that need no asking.

What an action means and how an effect survives a death is known to the `actions` room.
"""

import asyncio
import contextlib
import difflib
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agentd.actions import frontmatter
from agentd.actions.confine import open_place
from agentd.actions.definition import Action, read_actions
from agentd.actions.effects import Effects, after_bytes, written_path
from agentd.actions.files import MAX_BYTES, read
from agentd.actions.plan import plan
from agentd.daemon.settings import Config
from agentd.errors import ChangedSince, ChangeError, InternalError, NotEditable, Superseded
from agentd.records import (
    Change,
    ChangeState,
    Document,
    Job,
    Plan,
    Result,
    is_bundle,
    is_scheduled,
    is_stored,
    path_of,
)
from agentd.store import changes
from agentd.store.changes import CALLING, FILING, WRITING
from agentd.store.database import Store
from agentd.tasks.definition import Task
from agentd.ticks import attend, tick

log = logging.getLogger("agentd.changes")

BATCH = 100  # changes that are looked up at a time
IDLE_SECONDS = 5.0  # how often to look for changes whose next try is due
STOP_SECONDS = 5.0  # how long a stop waits for a change that is being made
DIFF_LINES = 3  # around a change


class Changes:
    """The changes of one home."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        roots = [*(watch.path for watch in config.watch), *config.actions.targets.values()]
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        settings = config.actions.model_copy(
            update={
                "targets": {name: Path(os.path.realpath(path)) for name, path in config.actions.targets.items()}
            }
        )
        self._settings = settings
        self.effects = Effects(store, settings, self._roots)
        # A webhook that nobody answers must not keep notes waiting.
        self._lanes = {WRITING + FILING: asyncio.Event(), CALLING: asyncio.Event()}

    def read_actions(self, raw: Sequence[Mapping[str, Any]], properties: Mapping[str, Any]) -> tuple[Action, ...]:
        """The actions of a task, as the config allows them; raises `BadAction`."""
        return read_actions(raw, properties, self._settings)

    async def plan(self, job: Job, task: Task, document: Document, result: Result) -> list[Plan]:
        """What a result would do; nothing for a document that lies in no folder where changes are allowed.

        A result about several files of a folder, or about what a schedule put together, changes no file of those.
        """
        actions = task.actions
        if is_bundle(job.source) or is_scheduled(job.source):
            actions = tuple(action for action in actions if not action.of_file)
        elif not self._may_change(job.source):
            return []
        if not actions:
            return []
        ours, declined = await self._store.read(changes.given, job.source)
        unwanted = await self._store.read(changes.unwanted, job.source)
        present: dict[str, Any] = {}
        with contextlib.suppress(NotEditable):  # it is said when the change is looked at or applied
            present = frontmatter.parse_header(document.front_matter, job.source)
        return plan(
            actions,
            document,
            result.output,
            self._settings,
            present=present,
            ours=ours,
            declined=declined,
            unwanted=unwanted,
            auto=self._is_auto(job),
            today=datetime.now().astimezone(),
        )

    def why_none(self, job: Job, task: Task) -> str | None:
        """Why a result plans no change at all where its task has actions; None where it may."""
        many = is_bundle(job.source) or is_scheduled(job.source)
        if not task.actions or many or self._may_change(job.source):
            return None
        return "files outside watched folders and targets are not changed"

    def _may_change(self, source: str) -> bool:
        return not is_stored(source) and self.effects.allows(source)

    def _is_auto(self, job: Job) -> bool:
        """Whether changes need no asking, as the schedule or the innermost of the task's folders around says."""
        for schedule in self._config.schedule:
            if schedule.origin == job.origin:
                return schedule.apply == "auto"
        path = path_of(job.source)
        around = [
            (len(folder.parts), watch.apply)
            for watch in self._config.watch
            if watch.task == job.task and path.is_relative_to(folder := Path(os.path.realpath(watch.path)))
        ]
        innermost = max((depth for depth, _ in around), default=0)
        return bool(around) and all(apply == "auto" for depth, apply in around if depth == innermost)

    def wake(self) -> None:
        """Tell that changes were planned that need no asking."""
        for planned in self._lanes.values():
            planned.set()

    async def run(self) -> None:
        """Take up what a death left, then apply what needs no asking, until cancelled."""
        try:
            async with asyncio.TaskGroup() as lanes:
                for kinds, planned in self._lanes.items():
                    lanes.create_task(self._apply_all(kinds, planned))
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from broken

    async def _apply_all(self, kinds: Sequence[str], planned: asyncio.Event) -> None:
        while True:
            tick()
            planned.clear()
            # Not at the start alone: the disk of the database may have been full for a while.
            if taken_up := await self.effects.recover(kinds):
                log.info("%d changes were taken up again", taken_up)
            due = await self._store.read(changes.due, kinds, datetime.now().astimezone(), BATCH)
            for change in due:
                await self._to_its_end(self._apply(change))
            if not due:
                with contextlib.suppress(TimeoutError):
                    await attend(planned.wait(), IDLE_SECONDS)

    async def _to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a change that was begun come to its end before we stop, if that does not take long."""
        begun = asyncio.create_task(work)
        try:
            await attend(asyncio.shield(begun))  # a program or a webhook takes its time
        except asyncio.CancelledError:
            await asyncio.wait({begun}, timeout=STOP_SECONDS)
            raise

    async def undo(self, change_id: int) -> Change:
        """Take a change back; raises `ChangedSince` with what became of the file, `NotUndoable`."""
        change = await self._store.read(changes.get, change_id)
        if drift := await self.drift(change):
            above = await self._store.read(changes.above, change)
            if above:
                ids = " ".join(map(str, (*above, change_id)))
                raise ChangedSince(
                    f"{written_path(change)} was changed again by {_these(above)}, so change {change_id} stays",
                    hint=f"agentd changes undo {ids}",
                )
            told = "\n".join(drift)
            raise ChangedSince(
                f"{written_path(change)} has changed since, so change {change_id} stays:\n{told}",
                hint=f"agentd changes show {change_id}",
            )
        return await self.effects.undo(change_id)

    async def _apply(self, change: Change) -> None:
        try:
            await self.effects.apply(change.id)
        except (ChangeError, InternalError) as error:
            log.warning("change %d: %s on %s: %s", change.id, change.kind, change.path, error)
        except Superseded as error:
            log.info("change %d: %s on %s: %s", change.id, change.kind, change.path, error)

    async def diff(self, change: Change) -> list[str]:
        """What a change makes of a file, or what became of the file since, as lines of a unified diff."""
        if change.kind not in WRITING:
            return []
        before, after = await self._sides(change)
        if before is None and after is None:
            return []
        names = str(written_path(change)), str(written_path(change))
        lines = difflib.unified_diff(_lines(before), _lines(after), *names, n=DIFF_LINES, lineterm="")
        return list(lines)

    async def drift(self, change: Change) -> list[str]:
        """How a file differs from what an applied change left; empty where it is as it was left."""
        if change.kind not in WRITING or change.state is not ChangeState.APPLIED:
            return []
        before = await self._kept(change)
        left = after_bytes(change, before or b"")
        now = await asyncio.to_thread(self._read, written_path(change))
        if now in (left, before):  # or taken back by hand
            return []
        names = "as the change left it", "as it is now"
        return list(difflib.unified_diff(_lines(left), _lines(now), *names, n=DIFF_LINES, lineterm=""))

    async def _sides(self, change: Change) -> tuple[bytes | None, bytes | None]:
        if change.applied is not None:
            before = await self._kept(change)
            return before, after_bytes(change, before or b"")
        now = await asyncio.to_thread(self._read, written_path(change))
        return now, after_bytes(change, now or b"")

    async def _kept(self, change: Change) -> bytes | None:
        return await self._store.read(changes.content, change.before) if change.before else None

    def _read(self, path: Path) -> bytes | None:
        with contextlib.suppress(OSError, ChangeError), open_place(self._roots, path) as place:
            found = read(place)
            return found.raw if found else None
        return None


def _these(ids: Sequence[int]) -> str:
    return f"change {ids[0]}" if len(ids) == 1 else f"changes {', '.join(map(str, ids))}"


def _lines(raw: bytes | None) -> Sequence[str]:
    return [] if raw is None else raw[:MAX_BYTES].decode("utf-8", "replace").splitlines()
