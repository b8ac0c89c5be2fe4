"""Who runs a job: a process that can be told from every other one, before and after a reboot."""

import os
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def current_owner() -> str:
    """This process as `boot id:pid:start time`."""
    return f"{_boot()}:{os.getpid()}:{_started(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether that very process still runs; a pid that was given to another one does not count."""
    try:
        boot, pid, started = owner.rsplit(":", 2)
        return boot == _boot() and started == _started(int(pid))
    except (ValueError, psutil.NoSuchProcess):
        return False


def _boot() -> str:
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text().strip()
    return f"{psutil.boot_time():.0f}"


def _started(pid: int) -> str:
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    return f"{process.create_time():.2f}"
