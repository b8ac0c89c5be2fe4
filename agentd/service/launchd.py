"""A launchd agent as a property list: macOS's form of the service, for one user.

Pure: what is known of the machine goes in, bytes come out. launchd confines nothing by folder, so the config has
no say here. Who writes the bytes where is not known here.
"""

import plistlib
from pathlib import Path

from agentd.service.systemd import Machine

LABEL = "io.github.agentd"


def agent(machine: Machine, log: Path) -> bytes:
    """The property list of a LaunchAgent whose daemon writes to `log`."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [str(machine.python), "-P", "-m", "agentd", "start"],
            "EnvironmentVariables": dict(machine.environment),
            "RunAtLoad": True,
            # A stop ends with 0 and stays; anything else is a fault and is started again.
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 10,
            # Jobs in hand get ten seconds; launchd kills after this.
            "ExitTimeOut": 20,
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "LowPriorityBackgroundIO": True,
            "Nice": 5,
            "Umask": 0o077,
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )
