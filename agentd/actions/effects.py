"""Carry changes out, and take them back: each is journalled before and after, so that a death loses nothing.

planned → applying → applied → undoing → undone. `recover` takes up what a death left in between. On files
effects happen one at a time, and only below the roots that the config names.
"""

import asyncio
import contextlib
import errno
import logging
import random
import shlex
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentd.actions import files, programs, webhook
from agentd.actions.confine import Place, open_place
from agentd.actions.frontmatter import check_text, set_keys
from agentd.actions.settings import ActionSettings
from agentd.errors import (
    AgentdError,
    ChangedSince,
    ChangeError,
    Conflict,
    EffectFailed,
    InternalError,
    NoSpace,
    NotUndoable,
    StoreError,
    Superseded,
)
from agentd.records import Change, ChangeState, path_of, source_of
from agentd.store import changes, results
from agentd.store.changes import CALLING, FILING, MOVING, WRITING
from agentd.store.database import Store

log = logging.getLogger("agentd.changes")

_MOST_NAMES = 1000  # "report 2.pdf" … until none is free


class Effects:
    """The changes of one home."""

    def __init__(self, store: Store, settings: ActionSettings, roots: Sequence[Path]) -> None:
        self._store, self._settings = store, settings
        # The innermost first: a watched folder inside a target is a root of its own.
        self._roots = sorted(roots, key=lambda root: -len(root.parts))
        # What happens to files happens one at a time, and does not wait for those who are called.
        self._files, self._calls = asyncio.Lock(), asyncio.Lock()

    def allows(self, source: str) -> bool:
        """Whether the file of a source may be changed at all."""
        path = path_of(source)
        return any(path.is_relative_to(root) and path != root for root in self._roots)

    async def apply(self, change_id: int) -> Change:
        """Make a planned change; raises `ChangeError`, after what became of it was noted."""
        async with await self._turn(change_id):
            change = await self._store.read(changes.get, change_id)
            changes.check_appliable(change)
            with self._expected():
                try:
                    change = await self._begin(change)
                    await self._carry_out(change)
                except StoreError:
                    raise  # nothing can be noted: `recover` takes it up
                except Exception as error:
                    await self._fail(change, error)
                    raise
            await self._store.write(changes.finish, change.id, _now())
            log.info("change %d applied: %s on %s", change.id, change.kind, change.path)
            return await self._store.read(changes.get, change_id)

    async def undo(self, change_id: int) -> Change:
        """Take a change back; raises `ChangeError`, and leaves it applied then."""
        async with await self._turn(change_id):
            change = await self._store.read(changes.get, change_id)
            left = await self._left(change)
            change = await self._store.write(changes.begin_undo, change_id, left)
            with self._expected():
                await self._take_back(change)
            log.info("change %d undone: %s on %s", change.id, change.kind, change.path)
            return await self._store.read(changes.get, change_id)

    async def recover(self, kinds: Sequence[str] = (*WRITING, *FILING, *CALLING)) -> int:
        """Take up the changes in which a death, or a fault of the database, came; returns how many there were."""
        count = 0
        for one in await self._store.read(changes.begun, kinds):
            async with await self._turn(one.id):
                # Where it was only being made just now, it is made by the time that it is our turn.
                change = await self._store.read(changes.get, one.id)
                count += change.state in (ChangeState.APPLYING, ChangeState.UNDOING)
                # What became of it is noted.
                with contextlib.suppress(ChangeError, Superseded, InternalError), self._expected():
                    if change.state is ChangeState.UNDOING:
                        await self._take_back(change)
                    elif change.state is ChangeState.APPLYING:
                        await self._take_up(change)
        return count

    async def _turn(self, change_id: int) -> asyncio.Lock:
        change = await self._store.read(changes.get, change_id)
        return self._calls if change.kind in CALLING else self._files

    async def _take_up(self, change: Change) -> None:
        try:
            if change.kind in ("command", "notify"):
                raise EffectFailed("agentd died meanwhile; whether it happened is not known")
            await self._carry_out(change)
        except StoreError:
            raise
        except Exception as error:
            await self._fail(change, error)
            raise
        await self._store.write(changes.finish, change.id, _now())

    async def _fail(self, change: Change, error: Exception) -> None:
        await self._store.write(changes.fail, change, _told(error), _now(), random.random())  # noqa: S311

    @contextlib.contextmanager
    def _expected(self) -> Iterator[None]:
        """A mistake of agentd, as the error that it is to whoever asked for the change."""
        try:
            yield
        except AgentdError:
            raise
        except Exception as mistake:
            log.exception("a change met a mistake of agentd")
            raise _told(mistake) from mistake

    async def _left(self, change: Change) -> str | None:
        """The sha256 of what is to be taken back: as the change left it, or as other changes of ours did since."""
        if change.kind in MOVING and change.target:
            with self._place_of(change.target) as place:
                now = await asyncio.to_thread(files.digest_at, place)
            if now and now != change.after and await self._store.read(changes.is_own, change.target, now):
                return now
        return change.after

    async def _begin(self, change: Change) -> Change:
        """Look at what is there, decide where it goes, and note both."""
        expected = await self._store.read(changes.expected, change)
        if change.kind in WRITING:
            return await self._begin_writing(change, expected)
        target, digest = None, None
        if change.kind in FILING:
            target, digest = await asyncio.to_thread(self._free_target, change, expected)
        return await self._store.write(
            changes.begin,
            change.id,
            target=target,
            before=None,
            before_digest=digest,
            after=digest,
            mtime_ns=None,
        )

    async def _begin_writing(self, change: Change, expected: Sequence[str]) -> Change:
        path = written_path(change)
        with self._place(path, create=change.kind == "append") as place:
            found = await asyncio.to_thread(files.read, place)
        digest = found.digest if found else None
        if change.kind == "frontmatter" and digest not in expected:
            raise ChangedSince(f"{path} {'has changed since' if found else 'is gone'}")
        if (
            change.kind == "sidecar"
            and digest
            and not await self._store.read(changes.is_sidecar, change, source_of(path), digest)
        ):
            raise Conflict(f"there is another file {path}", hint="give the action another `suffix`")
        after = after_bytes(change, found.raw if found else b"")
        if found and after == found.raw:
            raise Superseded(f"{path} says so already")
        return await self._store.write(
            changes.begin,
            change.id,
            target=source_of(path) if source_of(path) != change.path else None,
            before=found.raw if found else None,
            before_digest=digest,
            after=files.digest(after),
            mtime_ns=found.stat.st_mtime_ns if found else None,
        )

    async def _carry_out(self, change: Change) -> None:
        if change.kind in WRITING:
            before = await self._store.read(changes.content, change.before) if change.before else None
            await asyncio.to_thread(self._write, change, before)
        elif change.kind in FILING:
            await asyncio.to_thread(self._file, change)
        else:
            await self._call(change)

    async def _take_back(self, change: Change) -> None:
        try:
            before = None
            if change.kind in WRITING and change.before:
                before = await self._store.read(changes.content, change.before)
            await asyncio.to_thread(self._restore, change, before)
        except StoreError:
            raise
        except Exception as error:
            await self._store.write(changes.keep_applied, change.id, _told(error))
            raise
        await self._store.write(changes.finish_undo, change.id, _now())

    def _write(self, change: Change, before: bytes | None) -> None:
        after = after_bytes(change, before or b"")
        with self._place(written_path(change)) as place:
            if change.before is None:
                files.create(place, change.id, after)
            else:
                files.replace(place, change.id, change.before, after)

    def _file(self, change: Change) -> None:
        assert change.target is not None
        assert change.before is not None
        with self._place_of(change.path) as source, self._place_of(change.target, create=True) as target:
            (files.copy if change.kind == "copy" else files.move)(source, target, change.id, change.before)

    def _restore(self, change: Change, before: bytes | None) -> None:
        if change.kind in CALLING:
            raise NotUndoable(f"change {change.id} is a {change.kind}, which cannot be taken back")
        assert change.after is not None
        with self._place_of(change.target or change.path) as place:
            if change.kind in MOVING:
                with self._place_of(change.path, create=True) as source:
                    files.move(place, source, change.id, change.after)
            elif before is None:
                files.remove(place, change.id, change.after)
            else:
                files.replace(place, change.id, change.after, before, change.mtime_ns)

    async def _call(self, change: Change) -> None:
        details = change.details
        match change.kind:
            case "webhook":
                hook = self._named(self._settings.webhooks, details["to"], "webhook")
                await webhook.post(hook, message_id(change), int(time.time()), await self._message(change))
            case "command":
                command = self._named(self._settings.commands, details["run"], "command")
                await asyncio.to_thread(programs.run, command, await self._message(change))
            case "notify":
                if self._settings.notifications == "off":
                    raise Superseded("notifications are off in the config")
                await asyncio.to_thread(programs.notify, details["title"], details["text"])

    async def _message(self, change: Change) -> dict[str, Any]:
        """What a webhook or a command is told: fields of the schema, and the name of the file."""
        stored = await self._store.read(results.get, change.result_id)
        return {
            "type": "agentd.result",
            "task": change.task,
            "result_id": change.result_id,
            "source": change.source,
            "output": stored.result.output,
            "created": stored.created,
        }

    def _free_target(self, change: Change, expected: Sequence[str]) -> tuple[str, str]:
        """Where a file goes: where it was planned to, or to the next free name; and its sha256.

        Raises `Conflict`, `ChangedSince`.
        """
        wanted, policy = path_of(change.details["to"]), change.details["on_conflict"]
        with self._place_of(change.path) as source:
            digest = files.digest_at(source)
        if digest is None or digest not in expected:
            raise ChangedSince(f"{change.path} {'has changed since' if digest else 'is gone'}")
        with self._place(wanted, create=True) as place:
            for path in _names(wanted):
                if not files.exists(place.beside(path.name)):
                    return source_of(path), digest
                if policy == "skip":
                    raise Superseded(f"there is a file {wanted} already, and it is skipped")
                if policy == "fail":
                    break
        raise Conflict(f"there is another file {wanted}")

    def _place_of(self, source: str, *, create: bool = False) -> contextlib.AbstractContextManager[Place]:
        return self._place(path_of(source), create=create)

    @contextlib.contextmanager
    def _place(self, path: Path, *, create: bool = False) -> Iterator[Place]:
        """A place in a root; what the system says about it is raised as a `ChangeError`."""
        try:
            with open_place(self._roots, path, create=create) as place:
                yield place
        except OSError as broken:
            if broken.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"{path}: no space left", hint=f"df -h {shlex.quote(str(path.parent))}") from broken
            hint = f"ls -ld {shlex.quote(str(path.parent))} {shlex.quote(str(path))}"
            if broken.errno == errno.EROFS:
                # A service may write only where the config let it when it was installed.
                hint = "agentd service status"
            raise EffectFailed(f"{path}: {broken.strerror or broken}", hint=hint) from broken

    def _named(self, known: dict[str, Any], name: str, what: str) -> Any:
        if name not in known:
            raise EffectFailed(f"the config has no {what} `{name}` any more", hint="agentd config path")
        return known[name]


def after_bytes(change: Change, before: bytes) -> bytes:
    """What a file will be: decided by the plan and by what the file was, so that it can be made again."""
    match change.kind:
        case "frontmatter":
            return set_keys(before, change.details["set"], change.path)
        case "append":
            check_text(before, str(written_path(change)))
            gap = b"" if not before or before.endswith(b"\n") else b"\n"
            return before + gap + str(change.details["text"]).encode()
    return str(change.details["text"]).encode()


def written_path(change: Change) -> Path:
    """The file whose bytes a change makes."""
    return path_of(change.path if change.kind == "frontmatter" else change.details["to"])


def message_id(change: Change) -> str:
    """The id of the message of a change: the same at every try, and another one in every other home."""
    basis = f"{change.id} {change.result_id} {change.created}".encode()
    return f"agentd-change-{change.id}-{files.digest(basis)[:16]}"


def _names(path: Path) -> Iterator[Path]:
    """A path, then the same with numbers."""
    yield path
    for number in range(2, _MOST_NAMES):
        yield path.with_name(f"{path.stem} {number}{path.suffix}")


def _told(error: Exception) -> AgentdError:
    return error if isinstance(error, AgentdError) else InternalError(f"{type(error).__name__}: {error}")


def _now() -> datetime:
    return datetime.now(UTC)
