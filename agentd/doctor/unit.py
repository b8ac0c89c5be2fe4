"""The service: whether its manager knows and runs it, whether its unit fits the config, and how it ends."""

import getpass
import sys
from collections.abc import Iterator

from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.errors import ServiceError
from agentd.service.installation import Service
from agentd.service.manager import ServiceState


def check_unit(home: Home) -> Iterator[Diagnosis]:
    """What the service manager says of each service of agentd that is installed."""
    kinds = [Service(system=system) for system in ((False,) if sys.platform == "darwin" else (False, True))]
    installed = [service for service in kinds if service.manager.file.exists()]
    if not installed:
        told = "is not installed: agentd runs only when you start it, and ends with your session"
        yield warning("service", told, "agentd service install")
    for service in installed:
        try:
            state = service.manager.state()
        except ServiceError as unreachable:
            yield warning("service", unreachable.message, unreachable.hint)
            continue
        # With a config that is broken, nobody knows what the unit would be.
        mine = service.paths == home.paths and home.broken is None
        current = not mine or service.current()
        yield from judge(
            state,
            current=current,
            lingers=service.manager.lingers(),
            pid=home.pid if service.paths == home.paths else state.pid,
            start=service.manager.typed("start agentd"),
        )


def judge(
    state: ServiceState, *, current: bool, lingers: bool | None, pid: int | None, start: str
) -> Iterator[Diagnosis]:
    """What the state of a service means; pure.

    `current` says whether its unit is what the config gives now, `pid` is of the daemon that runs in its home,
    and `start` is what starts it.
    """
    if state.state.startswith("failed"):
        yield error("service", f"has failed: {state.told or state.state}", "agentd service logs")
    elif not state.active:
        yield warning("service", f"is installed, but {state.state}", start)
    elif pid is not None and state.pid not in (pid, None):
        told = f"runs as pid {state.pid}, but the daemon of this home is pid {pid}, which nobody starts again"
        yield warning("service", told, f"agentd stop && {start}")
    else:
        again = f", started again {state.restarts} times" if state.restarts else ""
        yield ok("service", f"{state.state}, pid {state.pid}{again}")
    if not current:
        told = "its unit is not what the config gives now: folders may be closed to it, or open in vain"
        yield warning("service", told, "agentd service install")
    if not state.enabled:
        yield warning("service", "is not started by itself", "agentd service install")
    elif lingers is False:
        told = "ends when you log out, and starts when you log in"
        yield warning("linger", told, f"loginctl enable-linger {getpass.getuser()}")
    elif lingers:
        yield ok("linger", "it runs while nobody is logged in")
