"""A systemd unit as text: the life of the service, and how little of the machine it may touch.

Pure: what the config needs and what is known of the machine go in, text comes out. Directives are those of
systemd 252; newer ones are written only for a manager that has them, since an older one ignores them with a
warning, and takes an unknown `Type=` for `simple`. Who writes the text where is not known here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import ServiceError
from agentd.service.folders import Needs, hideable

UNIT = "agentd.service"
SYSTEM_USER = "agentd"
SYSTEM_HOME = Path("/var/lib/agentd")

# The account of the system service: files in watched folders outlive a service, so it is no passing one.
SYSUSERS = f'u {SYSTEM_USER} - "agentd" {SYSTEM_HOME}\n'

_NOTIFY_RELOAD = 253  # the first with Type=notify-reload
_STEPS = 254  # … with RestartSteps=
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
# Device nodes of GPUs, as DeviceAllow= names them, by what stands in /dev.
GPU_DEVICES = {
    "nvidiactl": ("char-nvidia-frontend", "char-nvidia", "char-nvidia-uvm", "char-nvidia-caps"),
    "dri": ("char-drm",),
    "kfd": ("char-kfd",),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a unit depends on beside the config."""

    python: Path  # the interpreter that has agentd
    package: Path  # where that finds it
    home: Path  # of the user
    environment: Mapping[str, str]  # what the daemon must have to find the same paths
    version: int  # of systemd
    namespaces: bool = True  # whether a user's services may have namespaces of their own
    gpus: tuple[str, ...] = ()  # names in GPU_DEVICES
    shared: bool = False  # a writable folder hands its group on to what is made in it
    groups: tuple[str, ...] = ()  # that let the system service read logs


def user_unit(needed: Needs, machine: Machine) -> str:
    """The unit for the user's own manager."""
    # Without a user namespace an unprivileged manager cannot set up any other: the start would fail.
    sandbox = _namespaces(needed, machine, system=False) if machine.namespaces else _plain_folders(needed)
    lines = [
        *_head("systemctl --user edit agentd"),
        *_service(needed, machine),
        # Background work: the desktop comes first.
        "Slice=background.slice",
        *sandbox,
        *_always(needed, machine),
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def system_unit(needed: Needs, machine: Machine) -> str:
    """The unit for a server, run by the user `agentd`; everything of it is below `SYSTEM_HOME`."""
    lines = [
        *_head("systemctl edit agentd", "After=local-fs.target remote-fs.target"),
        *_service(needed, machine),
        "CPUWeight=30",
        "",
        f"User={SYSTEM_USER}",
        f"Group={SYSTEM_USER}",
        *(f"SupplementaryGroups={group}" for group in machine.groups),
        f"StateDirectory={SYSTEM_HOME.name}",
        "StateDirectoryMode=0700",
        *_namespaces(needed, machine, system=True),
        *_always(needed, machine),
        "KeyringMode=private",
        "RemoveIPC=yes",
        *([] if needed.network else ["IPAddressDeny=any"]),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _head(edit: str, *more: str) -> list[str]:
    return [
        "# Written by `agentd service install` from the config: run it again when that has changed.",
        f"# What is to be different goes where it is not overwritten: {edit}",
        "",
        "[Unit]",
        "Description=agentd, a local model that does boring work",
        *more,
        # A full disk or a missing mount mends itself some day: never give up.
        "StartLimitIntervalSec=0",
        "",
    ]


def _service(needed: Needs, machine: Machine) -> Iterator[str]:
    yield "[Service]"
    if machine.version >= _NOTIFY_RELOAD:
        yield "Type=notify-reload"
    else:
        yield "Type=notify"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
    yield "NotifyAccess=main"
    # The colon keeps `$` in a path what it is.
    yield f"ExecStart=:{_quoted(machine.python)} -P -m agentd start"
    for name, value in sorted(machine.environment.items()):
        yield f"Environment={_quoted(f'{name}={value}')}"
    if needed.runtime:
        yield "RuntimeDirectory=agentd"
        yield "RuntimeDirectoryMode=0700"
    yield "WatchdogSec=60"
    # A start reads a large model whole; the daemon asks for more time while it goes on.
    yield "TimeoutStartSec=180"
    # Jobs in hand get ten seconds.
    yield "TimeoutStopSec=20"
    yield "KillMode=mixed"
    yield "Restart=on-failure"
    if machine.version >= _STEPS:
        yield from ("RestartSec=2", "RestartSteps=6", "RestartMaxDelaySec=300")
    else:
        yield "RestartSec=10"
    # Wrong usage and a broken config are not mended by another try.
    yield "RestartPreventExitStatus=2 4"
    # A model that outgrows the memory ends alone; the daemon starts it again.
    yield "OOMPolicy=continue"
    yield "OOMScoreAdjust=300"
    yield "Nice=5"
    yield "IOSchedulingClass=best-effort"
    yield "IOSchedulingPriority=7"
    # What a model has in memory is private.
    yield "LimitCORE=0"


def _plain_folders(needed: Needs) -> Iterator[str]:
    yield ""
    yield "# This machine gives users no namespaces, so files are protected by their rights alone."


def _namespaces(needed: Needs, machine: Machine, *, system: bool) -> Iterator[str]:
    """What needs a mount, user or network namespace."""
    places = (*needed.writable, *needed.readable)
    yield ""
    yield "PrivateUsers=yes"
    yield "ProtectSystem=strict"
    homes = [place for place in places if any(place.is_relative_to(home) for home in HOMES)]
    if not system:
        yield "ProtectHome=read-only"
    elif homes:
        yield "ProtectHome=tmpfs"
    else:
        yield "ProtectHome=yes"
    for place in needed.writable:
        yield f"{'BindPaths' if system and place in homes else 'ReadWritePaths'}={_path(place)}"
    for place in needed.readable if system else ():
        if place in homes:
            yield f"BindReadOnlyPaths={_path(place)}"
    hidden = () if system else hideable(machine.home, needed)
    if hidden:
        yield f"InaccessiblePaths={' '.join(f'-%h/{name}' for name in hidden)}"
    seen = (*places, machine.python, machine.package)
    if any(place.is_relative_to(folder) for place in seen for folder in _TEMPORARY):
        yield "ReadWritePaths=/tmp /var/tmp"
    else:
        yield "PrivateTmp=yes"
    yield from _devices(needed, machine)
    yield "ProtectProc=invisible"
    yield "ProtectClock=yes"
    yield "ProtectControlGroups=yes"
    yield "ProtectHostname=yes"
    yield "ProtectKernelLogs=yes"
    yield "ProtectKernelModules=yes"
    yield "ProtectKernelTunables=yes"
    yield "CapabilityBoundingSet="
    if not needed.network:
        # Nothing in the config speaks to another machine, so nothing can.
        yield "PrivateNetwork=yes"


def _devices(needed: Needs, machine: Machine) -> Iterator[str]:
    if not (needed.gpu and machine.gpus):
        yield "PrivateDevices=yes"
        return
    yield "DevicePolicy=closed"
    for gpu in machine.gpus:
        for device in GPU_DEVICES[gpu]:
            yield f"DeviceAllow={device} rw"


def _always(needed: Needs, machine: Machine) -> Iterator[str]:
    """What needs no namespace."""
    yield "NoNewPrivileges=yes"
    yield "AmbientCapabilities="
    yield "LockPersonality=yes"
    if not (needed.gpu and machine.gpus):
        # The compilers inside GPU drivers write code and run it.
        yield "MemoryDenyWriteExecute=yes"
    yield f"RestrictAddressFamilies=AF_UNIX{' AF_INET AF_INET6 AF_NETLINK' if needed.network else ''}"
    yield "RestrictNamespaces=yes"
    yield "RestrictRealtime=yes"
    if not machine.shared:
        yield "RestrictSUIDSGID=yes"
    yield "SystemCallArchitectures=native"
    yield "SystemCallFilter=@system-service"
    yield "SystemCallFilter=~@privileged"
    yield "SystemCallErrorNumber=EPERM"
    yield "UMask=0077"


def _path(path: Path) -> str:
    """A path for a list of paths; one that is not there is passed over at the start."""
    return _quoted(f"-{path}")


def _quoted(value: str | Path) -> str:
    """One word of a unit file, whatever is in it; raises `ServiceError` for what a unit file cannot hold."""
    text = str(value)
    if not text.isprintable():
        raise ServiceError(f"{text!r} cannot stand in a unit: use a name without control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
