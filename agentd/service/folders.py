"""Which folders, devices and addresses a config needs: what a unit may then leave open, and nothing else.

Pure but for a look at what exists. What a task does to a file is asked of a callable; how a need is written down
for a service manager is not known here.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentd.daemon.settings import Config
from agentd.engine.settings import FAKE
from agentd.paths import Paths
from agentd.triggers.schedule_settings import FolderInput

# Where other programs keep keys and passwords; no model, reader or task has any business there.
SECRETS = (
    *(".ssh", ".gnupg", ".password-store", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pki", ".mozilla"),
    *(".thunderbird", ".config/gcloud", ".config/gh", ".config/google-chrome", ".config/chromium"),
    *(".config/BraveSoftware", ".local/share/keyrings", ".local/share/kwalletd"),
)

Edits = Callable[[str], bool]  # whether a task changes the file that it is given, or what lies beside it


@dataclass(frozen=True, slots=True)
class Needs:
    """What a daemon with this config has to reach. Paths are absolute and without links."""

    writable: tuple[Path, ...]
    readable: tuple[Path, ...]  # beyond the writable ones
    network: bool
    journal: bool
    gpu: bool
    gpu_asked: bool  # whether one is free is asked of it, even where no model could use it
    commands: bool  # programs of the user's own, of which nothing is known
    runtime: bool  # the socket lies in the runtime folder, which a service manager makes anew at every start


def needs(config: Config, paths: Paths, edits: Edits) -> Needs:
    """What the config needs; a watched folder is written to only where its task `edits`."""
    own = {paths.database.parent, paths.models, paths.log.parent, paths.lock.parent}
    runtime = not any(paths.socket.is_relative_to(folder) for folder in own)
    watched = {watch.path for watch in config.watch if edits(watch.task)}
    writable = _outermost({*own, *watched, *config.actions.targets.values()})
    readable = _outermost({paths.config.parent, *_read(config)})
    commands = bool(config.actions.commands)
    whens = [config.when.triggered, config.when.backfill, *itertools.chain(*config.conditions().values())]
    gpu_asked = any(when.gpu_free for when in whens)
    return Needs(
        writable=writable,
        readable=tuple(path for path in readable if not _inside(path, writable)),
        # In a network of its own, a service would wait for the others for ever.
        network=bool(config.actions.webhooks) or commands or any(when.network for when in whens),
        journal=any(log.journald is not None for log in config.logs),
        gpu=gpu_asked or any(model.path != FAKE and model.gpu_layers != 0 for model in config.models.values()),
        gpu_asked=gpu_asked,
        commands=commands,
        runtime=runtime,
    )


def hideable(home: Path, needed: Needs) -> tuple[str, ...]:
    """Which of `SECRETS` in a home can be hidden: those in which nothing is needed."""
    if needed.commands:
        return ()  # `rsync` or `git` go wherever their user's keys are
    places = (*needed.writable, *needed.readable)
    return tuple(
        name
        for name in SECRETS
        if not any(place.is_relative_to(os.path.realpath(home / name)) for place in places)
    )


def _read(config: Config) -> Iterator[Path]:
    yield from (watch.path for watch in config.watch)
    yield from (_fixed(log.path) for log in config.logs if log.path is not None)
    yield from (one.input.folder for one in config.schedule if isinstance(one.input, FolderInput))
    yield from (words for words in config.vocabularies.values() if isinstance(words, Path))
    yield from (hook.secret_file for hook in config.actions.webhooks.values() if hook.secret_file)
    yield from (Path(command.run[0]) for command in config.actions.commands.values())
    for model in config.models.values():
        if model.file:
            yield model.file.parent  # with the other parts of a split model


def _fixed(pattern: Path) -> Path:
    """The folder above the first part of a glob that can stand for many."""
    parts = pattern.parent.parts
    globbed = next((index for index, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return Path(*parts[:globbed])


def _outermost(paths: set[Path]) -> tuple[Path, ...]:
    """Real paths in order, without those that lie in another one."""
    real = sorted({Path(os.path.realpath(path)) for path in paths})
    return tuple(path for path in real if not any(path != other and path.is_relative_to(other) for other in real))


def _inside(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
