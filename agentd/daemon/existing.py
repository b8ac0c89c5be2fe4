"""Files that are there already, at or below paths that a person named, as events for one task.

Inside a folder that is watched for the task, they are what its watch would take; elsewhere, all that the task
reads. Plain blocking file access for a worker thread; nothing is committed here.
"""

import itertools
import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agentd.daemon.agent import Agent
from agentd.errors import InputError, NotText, Vanished
from agentd.readers.read import sniff_file
from agentd.records import Event, Priority, path_of
from agentd.tasks.definition import Task
from agentd.triggers.settings import WatchSettings
from agentd.triggers.sighting import Selection, Sighting, inspect, look

log = logging.getLogger("agentd.backfill")

BATCH = 200  # files that are read at a time


class Existing:
    """One look for files. `unreadable` counts the folders that could not be listed."""

    def __init__(self, agent: Agent, task: Task, paths: Sequence[Path], occasion: str = "") -> None:
        self._agent, self._task, self._occasion = agent, task, occasion
        self._paths = paths
        self._seen: set[str] = set()
        self.unreadable = 0

    def batches(self) -> Iterator[tuple[list[Event], int]]:
        """The files as events, many at a time, and how many of them the task does not read.

        Raises `Vanished` for a folder that cannot be listed, and where there is no file at all.
        """
        files = (one for path in self._paths for one in self._files(path))
        while chunk := list(itertools.islice(files, BATCH)):
            events = [event for sighting, watch in chunk if (event := self._event(sighting, watch))]
            yield events, len(chunk) - len(events)
        if not self._seen:
            named = " and ".join(map(str, self._paths))
            raise Vanished(
                f"there is no file at or below {named}: hidden ones do not count, nor what a watch of "
                f"{self._task.name} leaves out",
                hint=f"ls -la {shlex.join(map(os.fspath, self._paths))}",
            )

    def _files(self, path: Path) -> Iterator[tuple[Sighting, WatchSettings]]:
        """The files at or below a path, each once however often it is named."""
        for sighting, watch in self._walk(path) if path.is_dir() else self._single(path):
            if sighting.source not in self._seen:
                self._seen.add(sighting.source)
                yield sighting, watch

    def _single(self, path: Path) -> Iterator[tuple[Sighting, WatchSettings]]:
        # A person who names a link means what it leads to, by the path under which its folder is watched.
        real = Path(os.path.realpath(path))
        if sighting := look(real):
            yield sighting, self._everything(real.parent)

    def _walk(self, path: Path) -> Iterator[tuple[Sighting, WatchSettings]]:
        folder = Path(os.path.realpath(path))
        watches = [watch.resolved() for watch in self._agent.config.watch if watch.task == self._task.name]
        around = [watch for watch in watches if folder.is_relative_to(watch.path)]
        innermost = max(around, key=lambda watch: len(watch.path.parts), default=self._everything(folder))
        unreadable: list[Path] = []
        try:
            for sighting in Selection(innermost).walk(unreadable, folder):
                yield sighting, innermost
        except OSError as broken:
            raise Vanished(
                f"cannot list {folder}: {broken.strerror}", hint=f"ls -ld {shlex.quote(os.fspath(folder))}"
            ) from broken
        for one in unreadable:
            log.warning("cannot list %s: its files are left out", one)
        self.unreadable += len(unreadable)

    def _everything(self, folder: Path) -> WatchSettings:
        """A watch that would take every file of a folder."""
        return WatchSettings.model_construct(
            path=folder, task=self._task.name, include=("*",), max_size=self._agent.max_bytes
        )

    def _event(self, sighting: Sighting, watch: WatchSettings) -> Event | None:
        """The event of a file; None where the task does not read its kind, or it is gone by now."""
        try:
            kind = sniff_file(path_of(sighting.source))
            if self._task.reads and kind not in self._task.reads:
                return None
        except NotText:
            return None
        except InputError:
            pass  # what is wrong with it, its job says
        taken = inspect(sighting, watch, Priority.BACKFILL, wanted=True)
        return replace(taken.event, occasion=self._occasion) if taken else None


def check_paths(paths: Sequence[Path]) -> None:
    """Raise `Vanished` for a path where nothing is."""
    for path in paths:
        if not path.exists():
            raise Vanished(f"there is no file or folder {path}", hint=f"ls {shlex.quote(os.fspath(path.parent))}")
