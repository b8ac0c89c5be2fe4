"""Who runs a job: a process that can be told from every other one, before and after a reboot."""

import os
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19  # of /proc/PID/stat, counted from the state, which follows the name in parentheses


def current_owner() -> str:
    """This process as `boot id:pid:start time`."""
    return f"{_boot()}:{os.getpid()}:{_started(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Whether that very process still runs; a pid that was given to another one does not count."""
    try:
        boot, pid, started = owner.rsplit(":", 2)
        return boot == _boot() and started == _started(int(pid))
    except (ValueError, OSError, psutil.NoSuchProcess):
        return False


def _boot() -> str:
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text().strip()
    return f"{psutil.boot_time():.0f}"


def _started(pid: int) -> str:
    if _BOOT_ID.exists():
        # Ticks since the boot: unlike psutil's time of day, they stay what they are when the clock is set.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if fields[0] == b"Z":
            raise ProcessLookupError(pid)
        return fields[_START_FIELD].decode()
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    return f"{process.create_time():.2f}"
