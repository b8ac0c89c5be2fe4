"""The config and what it names: its keys, the tasks that are to be done, the words they choose from."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentd.actions.definition import Action, read_actions
from agentd.daemon.settings import Config
from agentd.daemon.vocabularies import read_words
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.errors import ConfigError, TaskError
from agentd.tasks.library import Library


def check_config(home: Home) -> Iterator[Diagnosis]:
    """Whether it can be read, and whether its keys are today's."""
    file = home.paths.config
    if home.broken:
        for line in home.broken.message.splitlines():
            yield error("config", line, home.edit)
        return
    for told in home.old_keys:
        yield warning("config", told, home.edit)
    if not file.exists():
        yield warning("config", f"there is none at {file}: the defaults watch nothing", "agentd init")
        return
    config = home.usable
    parts = (
        *((len(config.models), "model"), (len(config.watch), "folder"), (len(config.logs), "log")),
        (len(config.schedule), "schedule"),
    )
    yield ok("config", f"{file}: {', '.join(f'{n} {word}' + 's' * (n != 1) for n, word in parts)}")
    if not config.watch and not config.logs and not config.schedule:
        told = "nothing is watched, followed or scheduled: only what you run is done"
        yield warning("config", told, home.edit)


def check_vocabularies(home: Home) -> Iterator[Diagnosis]:
    """Whether the words that tasks choose from are where the config says."""
    for name, source in home.usable.vocabularies.items():
        try:
            words = _words(name, source)
        except ConfigError as broken:
            lead = f"vocabulary {name}: "  # as the daemon's log wants it
            yield error(f"vocabulary {name}", broken.message.removeprefix(lead), broken.hint)
            continue
        where = f"{source}: " if isinstance(source, Path) else ""
        told = f"{where}{len(words):,} words" if words else f"{where}the tags of its notes"
        yield ok(f"vocabulary {name}", told)


def check_tasks(home: Home) -> Iterator[Diagnosis]:
    """Whether every task that the config gives work to can be used, and every own one could be."""
    library = library_of(home)
    wanted: dict[str, list[str]] = {}
    for where, name in named_tasks(home.usable):
        wanted.setdefault(name, []).append(where)
    for name, places in wanted.items():
        try:
            task = library.get(name)
            problem = home.usable.model_problem(task.model)
            if problem:
                yield error(f"task {name}", problem, f"$EDITOR {shlex.quote(str(task.file))}")
                continue
        except TaskError as broken:
            yield error(f"task {name}", f"{broken.message} ({', '.join(places)} waits)", broken.hint)
        else:
            yield ok(f"task {name}", f"for {', '.join(places)}")
    for name, found in library.check().items():
        if isinstance(found, TaskError) and name not in wanted and _is_own(home, library, name):
            yield warning(f"task {name}", found.message, "agentd tasks check")


def named_tasks(config: Config) -> Iterator[tuple[str, str]]:
    """Where the config names a task, and which."""
    for watch in config.watch:
        yield str(watch.path), watch.task
    for log in config.logs:
        if log.task is not None:
            yield log.source, log.task
    for schedule in config.schedule:
        yield f"the schedule {schedule.title}", schedule.task
    for rule in config.notify.rules:
        if rule.task is not None:
            yield "a rule of notify", rule.task


def library_of(home: Home) -> Library:
    """The tasks of a home, without its database: words that a person accepted, or that notes have, stand aside."""
    words = {}
    for name, source in home.usable.vocabularies.items():
        try:
            # Of a folder it is only known that there are words.
            words[name] = _words(name, source) or {"word": ""}
        except ConfigError:
            words[name] = {"word": ""}  # the vocabulary's own diagnosis says what is wrong with it
    return Library(home.paths.tasks, words, lambda raw, known: read_actions(raw, known, home.usable.actions))


def actions_in_use(home: Home) -> Iterator[Action]:
    """The actions of the tasks that the config gives work to."""
    library = library_of(home)
    for name in {name for _, name in named_tasks(home.usable)}:
        try:
            yield from library.get(name).actions
        except TaskError:
            continue  # the task's own diagnosis says what is wrong with it


def _words(name: str, source: Mapping[str, str] | Path) -> Mapping[str, str]:
    """The words that stand there; none for a folder, whose notes are not read here. Raises `ConfigError`."""
    if not isinstance(source, Path):
        return source
    if source.is_dir() and os.access(source, os.R_OK | os.X_OK):
        return {}
    return read_words(source, name)


def _is_own(home: Home, library: Library, name: str) -> bool:
    return library.find(name).is_relative_to(home.paths.tasks)
