"""Every check there is, in the order in which they are told, and how they are run.

A check that itself fails is a diagnosis that names it: the others go on.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agentd.doctor.clock import check_clock, check_zone
from agentd.doctor.configuration import check_config, check_tasks, check_vocabularies
from agentd.doctor.database import check_database, check_sqlite
from agentd.doctor.diagnosis import Diagnosis, error
from agentd.doctor.folders import check_home, check_logs, check_scheduled, check_targets, check_watched
from agentd.doctor.home import Home
from agentd.doctor.limits import check_inotify
from agentd.doctor.models import check_fit, check_models
from agentd.doctor.programs import check_commands, check_journal, check_notifications, check_pictures, check_python
from agentd.doctor.room import check_disks
from agentd.doctor.running import check_daemon, check_homes, check_socket
from agentd.doctor.unit import check_unit
from agentd.errors import AgentdError

log = logging.getLogger("agentd.doctor")


@dataclass(frozen=True, slots=True)
class Check:
    """One look at a home."""

    group: str  # under which it is told
    look: Callable[[Home], Iterator[Diagnosis]]

    @property
    def name(self) -> str:
        """What it is called where it fails."""
        return self.look.__name__.removeprefix("check_")


CHECKS = tuple(
    Check(group, look)
    for group, looks in {
        "config": (check_config, check_tasks, check_vocabularies),
        "folders": (
            *(check_homes, check_home, check_watched, check_scheduled, check_targets, check_logs),
            *(check_inotify, check_disks),
        ),
        "database": (check_sqlite, check_database),
        "models": (check_models, check_fit),
        "daemon": (check_daemon, check_socket, check_unit),
        "machine": (
            *(check_python, check_clock, check_zone),
            *(check_journal, check_pictures, check_notifications, check_commands),
        ),
    }.items()
    for look in looks
)


def examine(home: Home, checks: Iterable[Check] = CHECKS) -> Iterator[tuple[Check, Diagnosis]]:
    """Run the checks, and give each diagnosis as it is known."""
    for check in checks:
        try:
            for diagnosis in check.look(home):
                yield check, diagnosis
        except AgentdError as refused:
            yield check, error(check.name, refused.message, refused.hint)
        except Exception as failure:
            log.debug("the check %s failed", check.name, exc_info=True)
            told = f"this could not be looked at: {type(failure).__name__}: {failure}"
            yield check, error(check.name, told, "agentd status")
