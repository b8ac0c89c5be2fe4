"""What every check starts from: the places, the config as far as it can be read, and the daemon's own word.

Read once, changed by nobody. How the daemon is asked is not known here: whoever can ask gives the answer.
"""

import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentd.daemon.lock import running_pid
from agentd.daemon.settings import Config, load_config
from agentd.errors import AgentdError, ConfigError
from agentd.paths import Paths


@dataclass(frozen=True, slots=True)
class Home:
    """One home, as it is found."""

    paths: Paths
    now: datetime  # by this machine's clock
    config: Config | None  # None where it is broken
    broken: ConfigError | None  # why
    old_keys: tuple[str, ...]  # keys in it that have another name now, with file and line
    pid: int | None  # of the daemon that runs here
    status: Any  # its `StatusShape`; None where none runs, or where it does not answer
    silent: AgentdError | None  # why there is no status

    @property
    def edit(self) -> str:
        """What to type to change the config."""
        file = self.paths.config
        return f"$EDITOR {shlex.quote(str(file))}" if file.exists() else "agentd init"

    @property
    def usable(self) -> Config:
        """The config, or the defaults where it is broken: what does not hang on it can be looked at still."""
        return self.config or Config()


def find_home(paths: Paths, now: datetime, status: Any, silent: AgentdError | None) -> Home:
    """Look at the home of `paths`, of which a daemon said `status`, or nothing because it is `silent`."""
    old_keys: list[str] = []
    config, broken = None, None
    try:
        config = load_config(paths.config, old_keys.append)
    except ConfigError as wrong:
        broken = wrong
    return Home(paths, now, config, broken, tuple(old_keys), running_pid(paths.lock), status, silent)
