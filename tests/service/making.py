"""Needs and machines for tests, with a default for everything that a test does not care about."""

from pathlib import Path
from typing import Any

from agentd.service.folders import Needs
from agentd.service.systemd import Machine


def make_needs(**given: Any) -> Needs:
    values: dict[str, Any] = {
        "writable": (Path("/srv/agentd"), Path("/srv/notes")),
        "readable": (Path("/srv/models"),),
        "network": False,
        "journal": False,
        "gpu": True,
        "gpu_asked": False,
        "commands": False,
        "runtime": True,
    }
    return Needs(**values | given)


def make_machine(**given: Any) -> Machine:
    values: dict[str, Any] = {
        # A program that is there, as the judge of units wants it; where the tests lie must not matter.
        "python": Path("/bin/sh"),
        "package": Path("/usr/lib/agentd"),
        "home": Path("/home/me"),
        "environment": {"AGENTD_HOME": "/srv/agentd"},
        "version": 252,
    }
    return Machine(**values | given)
