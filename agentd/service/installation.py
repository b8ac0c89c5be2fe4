"""What `agentd service install` writes on this machine, and how that differs from what is there.

The config, the paths and the machine come together here. Asking, showing and telling is the command line's.
"""

import difflib
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentd.actions.definition import read_actions
from agentd.daemon.settings import Config, load_config
from agentd.errors import ServiceError, TaskError
from agentd.paths import Paths, find_paths, paths_below
from agentd.service import launchd, machine, systemd
from agentd.service.folders import Needs, needs
from agentd.service.launchctl import Launchd
from agentd.service.manager import Systemd
from agentd.tasks.library import Library

SYSUSERS_FILE = Path("/etc/sysusers.d/agentd.conf")
# Actions that change the document's own folder; the others go to targets, or out.
_IN_PLACE = frozenset({"frontmatter", "sidecar", "move", "rename"})


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the service."""

    path: Path
    text: str

    def difference(self) -> str:
        """What would change at its place, as a unified diff; the whole text where nothing is, "" for nothing."""
        there = self.there()
        if there is None:
            return self.text
        lines = difflib.unified_diff(
            there.splitlines(), self.text.splitlines(), str(self.path), "wanted now", lineterm="", n=2
        )
        return "".join(f"{line}\n" for line in lines)

    def there(self) -> str | None:
        """What is at its place; None for nothing."""
        try:
            return self.path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return None

    def write(self) -> None:
        """Put it there, whole or not at all."""
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = self.path.with_name(f".{self.path.name}.new")
        unfinished.write_text(self.text, "utf-8")
        unfinished.chmod(0o644)
        unfinished.replace(self.path)


class Service:
    """The service of one home: the user's, or with `system` the machine's."""

    def __init__(self, *, system: bool = False) -> None:
        if system and sys.platform == "darwin":
            raise ServiceError("on macOS there is only a service for a user", hint="agentd service install")
        self.system = system
        self.paths = paths_below(systemd.SYSTEM_HOME) if system else find_paths()
        self.manager = Launchd(self.paths.log) if sys.platform == "darwin" else Systemd(system=system)

    @functools.cached_property
    def config(self) -> Config:
        """The config of the home; raises `ConfigError`."""
        return load_config(self.paths.config)

    @functools.cached_property
    def needed(self) -> Needs:
        """What the daemon has to reach."""
        return needs(self.config, self.paths, _edits(self.config, self.paths))

    def files(self, *, namespaces: bool | None = None, version: int | None = None) -> list[Written]:
        """The files of the service, the unit last; without `namespaces`, the manager is asked for them."""
        if not isinstance(self.manager, Systemd):
            here = machine.look(self.needed, version=0, namespaces=False, system=False)
            return [Written(self.manager.file, launchd.agent(here, self.paths.log).decode())]
        if namespaces is None:
            # Nobody to ask is no reason to think worse of the machine.
            namespaces = self.system or not self.manager.answers() or self.manager.gives_namespaces()
        here = machine.look(
            self.needed,
            version=version or self.manager.version(),
            namespaces=namespaces,
            system=self.system,
        )
        if self.system:
            unit = Written(self.manager.file, systemd.system_unit(self.needed, here))
            return [Written(SYSUSERS_FILE, systemd.SYSUSERS), unit]
        return [Written(self.manager.file, systemd.user_unit(self.needed, here))]

    def current(self) -> bool:
        """Whether what is installed is what the config would give now."""
        # Whether there are namespaces was tried when it was installed; trying again would leave marks in the log.
        return any(not any(file.difference() for file in self.files(namespaces=given)) for given in (True, False))


def _edits(config: Config, paths: Paths) -> Callable[[str], bool]:
    words = {name: given for name, given in config.vocabularies.items() if not isinstance(given, Path)}
    library = Library(paths.tasks, words, lambda raw, known: read_actions(raw, known, config.actions))

    def edits(task: str) -> bool:
        try:
            return any(action.kind in _IN_PLACE for action in library.get(task).actions)
        except TaskError:
            return True  # once it is mended it may; `agentd tasks check` says what is wrong

    return edits
