"""Look at this machine for what a unit depends on: interpreter, GPUs, groups, what folders hand on.

Only files are looked at; a service manager is asked in `manager`.
"""

import grp
import importlib.util
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from agentd.errors import ServiceError
from agentd.service.folders import Needs
from agentd.service.systemd import GPU_DEVICES, HOMES, SYSTEM_HOME, Machine

# Where agentd's folders are, unless AGENTD_HOME says it for all of them.
_FOLDERS = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_GPU_LIBRARIES = ("cuda", "hip", "vulkan", "sycl", "musa", "opencl")
_LOGS = Path("/var/log")


def look(needed: Needs, *, version: int, namespaces: bool, system: bool) -> Machine:
    """This machine, as the unit of a config sees it."""
    return Machine(
        # The link in a virtual environment, not what it points to: that one knows no agentd.
        python=Path(sys.executable),
        package=Path(__file__).resolve().parents[1],
        home=Path.home(),
        environment={"AGENTD_HOME": str(SYSTEM_HOME)} if system else _environment(),
        version=version,
        namespaces=namespaces,
        gpus=_gpus(asked=needed.gpu_asked),
        shared=any(_hands_group_on(folder) for folder in needed.writable),
        groups=tuple(_groups(needed)) if system else (),
    )


def check_reachable(python: str) -> None:
    """Raise `ServiceError` where the user of the system service could not run this interpreter and this agentd."""
    for place in (Path(python), Path(python).resolve(), Path(__file__).resolve()):
        if any(place.is_relative_to(home) for home in HOMES):
            _refuse(f"{place} lies in a home, which the system service does not see")
        for path in (place, *place.parents):
            if not path.stat().st_mode & (stat.S_IROTH if path == place else stat.S_IXOTH):
                _refuse(f"{path} is closed to the user of the system service, who needs {place}")


def _refuse(why: str) -> NoReturn:
    folder = "/opt/agentd"
    hint = f"python3 -m venv {folder} && {folder}/bin/pip install agentd && {folder}/bin/agentd service install"
    raise ServiceError(why, hint=f"{hint} --system")


def _environment() -> dict[str, str]:
    home = os.environ.get("AGENTD_HOME")
    if home:
        return {"AGENTD_HOME": str(Path(home).expanduser().absolute())}
    return {name: os.environ[name] for name in _FOLDERS if os.environ.get(name)}


def _gpus(*, asked: bool) -> tuple[str, ...]:
    """The GPUs that are here and that the installed llama.cpp can use, or that are asked how busy they are."""
    found = importlib.util.find_spec("llama_cpp")
    folders = [Path(folder) / "lib" for folder in (found and found.submodule_search_locations) or ()]
    names = [library.name for folder in folders for library in folder.glob("libggml-*")]
    if not asked and not any(kind in name for name in names for kind in _GPU_LIBRARIES):
        return ()
    return tuple(name for name in GPU_DEVICES if Path("/dev", name).exists())


def _hands_group_on(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_ISGID)
    except OSError:
        return False  # not there yet, or not for this user to see


def _groups(needed: Needs) -> Iterator[str]:
    known = {group.gr_name for group in grp.getgrall()}
    wanted = {
        "systemd-journal": needed.journal,
        "adm": any(path.is_relative_to(_LOGS) for path in needed.readable),
    }
    return (name for name, use in wanted.items() if use and name in known)
