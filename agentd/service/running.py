"""Whose the running daemon is: a service manager's, or nobody's.

What a service manager runs, it alone starts again: a daemon that was detached in its place would be none of its
business, and would hold the home when the service comes back.
"""

import sys

from agentd.errors import ServiceError
from agentd.service.installation import Service


def restart_service(pid: int | None) -> bool:
    """Restart the service whose daemon this is, or the user's where none runs; False where there is none.

    Raises `ServiceError` where its manager cannot be reached or does not do it.
    """
    for system in (False,) if sys.platform == "darwin" else (False, True):
        manager = Service(system=system).manager
        if not manager.file.exists():
            continue
        try:
            state = manager.state()
        except ServiceError:
            if pid is None and not system:
                raise  # it is installed, so it is what was meant
            continue
        if pid == state.pid if pid is not None else not system:
            manager.start()
            return True
    return False
