"""Whose the running daemon is: a service manager's, or nobody's.

What a service manager runs, it alone starts again: a daemon that was detached in its place would be none of its
business, and would hold the home when the service comes back.
"""

import sys

from agentd.errors import ServiceError
from agentd.service.installation import Service


def restart_service(pid: int | None) -> Service | None:
    """Restart the service whose daemon this is, or the user's where none runs; None where there is none.

    Raises `ServiceError` where its manager cannot be reached or does not do it.
    """
    if pid is None:
        own = Service()
        found = own if own.manager.file.exists() else None
    else:
        found = service_of(pid)
    if found:
        found.manager.start()
    return found


def service_of(pid: int) -> Service | None:
    """The service whose daemon has this pid; None where no manager that can be asked knows it."""
    for system in (False,) if sys.platform == "darwin" else (False, True):
        one = Service(system=system)
        if not one.manager.file.exists():
            continue
        try:
            if one.manager.state().pid == pid:
                return one
        except ServiceError:
            continue  # whom nobody can ask cannot be told to do anything either
    return None
