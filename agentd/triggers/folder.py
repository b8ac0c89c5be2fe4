"""A watched folder: events are hints, a scan is the truth.

The system tells that something changed, and loses events when many come at once (its queue overflows without a
word); on network file systems it tells nothing of other machines. So every hint is only a reason to look, many
hints are a reason to scan, and a scan at start and on an interval finds whatever no hint told of. What is taken is
handed to `emit`, which commits it together with the jobs it causes: with `per: folder`, what is handed on at once
becomes one job. What a task does with a file is not known here.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agentd.errors import AgentdError
from agentd.records import Priority, path_of, source_of, was_read
from agentd.store import bundles, positions
from agentd.store.database import Store
from agentd.store.positions import Position, Stamp, Taken
from agentd.ticks import attend
from agentd.triggers.hints import identify, network_type, observe
from agentd.triggers.settings import WatchSettings
from agentd.triggers.settle import Settler
from agentd.triggers.sighting import Selection, Sighting, inspect, look

log = logging.getLogger("agentd.watch")

Emit = Callable[[WatchSettings, Sequence[Taken]], Awaitable[Sequence[int]]]
Announce = Callable[[WatchSettings, int], Awaitable[None]]

BURST = 256  # so many hints at once are answered by one scan
QUIET_SECONDS = 0.2  # hints are collected for so long before anything is looked at
BATCH = 500  # files read and committed at a time
RETRY_SECONDS = 5.0  # how often a missing folder is looked for, and a present one is made sure of
POLL_SECONDS = 30.0  # how often to scan where the system gives no events
POLL_PAUSE = 10  # times what a scan took, at least: a large tree on a slow network must not be listed all the time


class FolderTrigger:
    """One watch. `run` is its duty; `scanned` is set once the first scan is through."""

    def __init__(self, watch: WatchSettings, store: Store, emit: Emit, announce: Announce) -> None:
        self.watch = watch.resolved()
        self.scanned = asyncio.Event()
        self.problem: str | None = None
        self._store = store
        self._emit = emit
        self._announce = announce
        self._selection = Selection(self.watch)
        self._settler = Settler(watch.settle, together=watch.per == "folder")
        self._known: dict[str, Position] = {}
        self._first = False  # until what was there at the very first start is taken
        self._first_files: set[str] | None = None  # None until it was listed
        self._hints: dict[str, None] = {}  # a set in the order in which they came
        self._hinted = asyncio.Event()
        self._poll: float | None = None  # seconds; None where the system gives hints
        self._next_scan = 0.0
        self._not_before = 0.0  # nothing is taken sooner: an earlier job of the folder is not done

    async def run(self) -> None:
        """Watch until cancelled. A folder that is missing, or goes away, is waited for."""
        while True:
            await self._wait_for_folder()
            await self._watch()

    async def _wait_for_folder(self) -> None:
        # In a thread: a network file system whose server is gone keeps whoever asks for minutes.
        while not await attend(asyncio.to_thread(self.watch.path.is_dir)):
            self._say_problem(f"the watched folder {self.watch.path} does not exist: mkdir -p '{self.watch.path}'")
            self.scanned.set()
            await asyncio.sleep(RETRY_SECONDS)
        self.problem = None

    async def _watch(self) -> None:
        root, task = self.watch.path, self.watch.task
        known = await self._store.read(positions.load, task, _prefix(root))
        # Another watch of the same task may look at other files here: what this one never sees is not gone.
        self._known = {
            source: position for source, position in known.items() if self._selection.takes_file(path_of(source))
        }
        self._first = not await self._store.read(positions.was_scanned, task, str(root))
        with self._observed() as observing:
            await self._scan()
            await self._once()
            while await attend(asyncio.to_thread(observing)):
                await self._once()

    async def _once(self) -> None:
        """Wait for a hint, a settled file or the next scan, but not for long, and answer it."""
        due = self._settler.next_due()
        now = time.monotonic()
        due = self._next_scan if due is None else max(due, self._not_before)
        wait = min(self._next_scan, due, now + RETRY_SECONDS) - now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(wait, 0)):
                await self._hinted.wait()
                await asyncio.sleep(QUIET_SECONDS)
        hints, self._hints = self._hints, {}
        self._hinted.clear()
        if len(hints) > BURST or time.monotonic() >= self._next_scan:
            await self._scan()
        else:
            await self._look_at(hints)
        if not await self._must_wait():
            await self._take(self._settler.due(time.monotonic()))

    async def _must_wait(self) -> bool:
        """With `mode: single`, whether an earlier job of the folder is not done."""
        if self.watch.per == "file" or self.watch.mode != "single" or not self._settler:
            return False
        if busy := await self._store.read(bundles.is_busy, self.watch.task, self.watch.path):
            self._not_before = time.monotonic() + RETRY_SECONDS
        return busy

    async def _scan(self) -> None:
        """Compare the whole folder with what is known."""
        unreadable: list[Path] = []
        began = time.monotonic()
        try:
            found = await attend(asyncio.to_thread(lambda: list(self._selection.walk(unreadable))))
        except OSError as broken:
            self._say_problem(f"cannot list {self.watch.path}: {broken.strerror}")
            found = None
        else:
            self.problem = None
        for folder in unreadable:
            log.warning("cannot list %s: left out of this scan", folder)
        if found is not None:
            self._observe(found)
            seen = {sighting.source for sighting in found}
            if not unreadable:
                await self._mark_gone([source for source in self._known if source not in seen])
            if self._first and self._first_files is None:
                # What is known was taken by a start that died before it could note that it was through.
                self._first_files = {source for source in seen if source not in self._known}
                await self._announce(self.watch, len(seen))
        now = time.monotonic()
        interval = self.watch.scan
        if self._poll is not None:
            interval = min(interval, max(self._poll, POLL_PAUSE * (now - began)))
        self._next_scan = now + (interval if found is not None else RETRY_SECONDS)
        self.scanned.set()

    async def _look_at(self, hints: Iterable[str]) -> None:
        """Look at the files that hints named; a folder that was named is a reason to scan."""
        paths = [Path(name) for name in hints]
        looked = await attend(
            asyncio.to_thread(
                lambda: [(path, sighting := look(path), sighting is None and path.is_dir()) for path in paths]
            )
        )
        found, missing = [], []
        for path, sighting, is_folder in looked:
            if sighting and self._selection.takes_file(path):
                found.append(sighting)
            elif is_folder:
                self._next_scan = 0.0
            elif sighting is None and (source := source_of(path)) in self._known:
                missing.append(source)
            elif sighting is None and not self._selection.takes_file(path):
                # Perhaps a folder that took files along.
                prefix = _prefix(path)
                if any(source.startswith(prefix) for source in self._known):
                    self._next_scan = 0.0
        self._observe(found)
        await self._mark_gone(missing)

    def _observe(self, found: Iterable[Sighting]) -> None:
        now = time.monotonic()
        for sighting in found:
            known = self._known.get(sighting.source)
            same = known and known.stamp == sighting.stamp and not known.gone
            # What was refused may be taken now: the mode or `max_size` can change and leave the stamp alone.
            if not same or (known and not was_read(known.content)):
                self._settler.observe(sighting.source, sighting.stamp, now)

    async def _take(self, settled: Sequence[tuple[str, Stamp]]) -> None:
        first_files = self._first_files or set()
        through = bool(settled) or not first_files
        size = BATCH if self.watch.per == "file" else bundles.MOST_FILES
        for start in range(0, len(settled), size):
            taken, again = await attend(asyncio.to_thread(self._inspect, settled[start : start + size]))
            self._observe(again)
            if taken and not await self._hand_on(taken):
                through = False
                continue
            for file in taken:
                self._known[file.event.source] = Position(file.stamp, file.event.content)
                first_files.discard(file.event.source)
        if self._first and self._first_files is not None and through:
            # Not sooner: a death in between would make new files of those that `existing: skip` leaves out.
            await self._store.write(
                positions.note_scanned, self.watch.task, str(self.watch.path), datetime.now(UTC)
            )
            self._first, self._first_files = False, set()

    async def _hand_on(self, taken: Sequence[Taken]) -> bool:
        """Emit files; where that is refused (a broken task, say), they settle once more and are tried again."""
        try:
            await self._emit(self.watch, taken)
        except AgentdError as refused:
            self._say_problem(f"{len(taken)} files of {self.watch.path} wait: {refused}")
            # Not sooner, however short `settle` is: every try reads the files again.
            since = time.monotonic() + RETRY_SECONDS - self.watch.settle
            for file in taken:
                self._settler.observe(file.event.source, file.stamp, since)
            return False
        self.problem = None
        return True

    def _inspect(self, settled: Sequence[tuple[str, Stamp]]) -> tuple[list[Taken], list[Sighting]]:
        """Read settled files: what was taken, and what changed while it was read."""
        taken, again = [], []
        first_files = self._first_files or set()
        for source, stamp in settled:
            sighting = look(path_of(source))
            if sighting is None:
                continue
            if sighting.stamp != stamp:
                again.append(sighting)
                continue
            first = source in first_files
            file = inspect(
                sighting,
                self.watch,
                Priority.BACKFILL if first else Priority.TRIGGERED,
                wanted=not (first and self.watch.existing == "skip"),
            )
            if file:
                taken.append(file)
            elif changed := look(path_of(source)):
                again.append(changed)
        return taken, again

    async def _mark_gone(self, sources: Sequence[str]) -> None:
        gone = [source for source in sources if not self._known[source].gone]
        for source in gone:
            self._settler.forget(source)
        if gone:
            await self._store.write(positions.mark_gone, self.watch.task, gone, datetime.now(UTC))
        for source in gone:
            known = self._known[source]
            self._known[source] = Position(known.stamp, known.content, gone=True)

    @contextlib.contextmanager
    def _observed(self) -> Iterator[Callable[[], bool]]:
        """Get hints while the block runs, or scan often without any; yields whether it is the same folder."""
        root = self.watch.path
        self._poll = _polling(self.watch)
        with contextlib.ExitStack() as stack:
            if self._poll is None:
                try:
                    same = stack.enter_context(observe(root, self._hint, recursive=self.watch.recursive))
                except OSError as broken:
                    self._poll = POLL_SECONDS
                    log.warning(
                        "no events for %s (%s): it is scanned every %g s instead; "
                        "`sysctl fs.inotify.max_user_watches=524288` raises the usual limit",
                        *(root, broken.strerror, POLL_SECONDS),
                    )
            yield identify(root) if self._poll else same

    def _hint(self, names: Sequence[str]) -> None:
        self._hints.update(dict.fromkeys(names))
        self._hinted.set()

    def _say_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


def _polling(watch: WatchSettings) -> float | None:
    """How often a folder must be scanned because no events are to be trusted there; None where they are."""
    if isinstance(watch.poll, float):
        return watch.poll
    if kind := network_type(watch.path):
        log.info("%s is on a network file system (%s): it is scanned every %g s", watch.path, kind, POLL_SECONDS)
        return POLL_SECONDS
    return None


def _prefix(folder: Path) -> str:
    return f"{folder}{os.sep}"
