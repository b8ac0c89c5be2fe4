"""What a daemon takes while nothing happens: `python -m benchmarks.idle [--minutes 10] [--model starter]`.

One folder is watched and one log followed; nothing lands in either. Counted once everything is ready: processor
time of the daemon and of each child as a share of one core, memory, and what was written to disk. There is no peer
in this: the figures are held against what a person would not notice.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

MIB = 1024**2
CONFIG = """\
models:
  main: {{path: {model}}}
watch:
  - {{path: "{notes}", task: note-tagging}}
logs:
  - {{path: "{log}"}}
vocabularies:
  tags: [python, garden, kitchen]
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one moment."""

    name: str
    cpu: float  # seconds, of this process alone
    written: int  # bytes that it had written to disk: write_bytes of /proc/PID/io
    rss: int
    anonymous: int


def read(process: psutil.Process) -> Reading:
    """Look at a process."""
    times, words = process.cpu_times(), process.cmdline()
    name = next((word for word in words if word.startswith("agentd.")), "supervisor")
    status = Path(f"/proc/{process.pid}/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
    written = process.io_counters().write_bytes
    return Reading(name, times.user + times.system, written, process.memory_info().rss, anonymous * 1024)


def look(pid: int) -> dict[int, Reading]:
    """The daemon and its children."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {process.pid: read(process) for process in processes}


def stamps(home: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file of a home."""
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "test.log"]
    return {path.relative_to(home): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="fake")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentd-idle-") as folder:
        root = Path(folder)
        os.environ["AGENTD_HOME"] = str(root / "home")
        (root / "app.log").write_text("2026-05-04 03:02:01 INFO started\n")
        text = CONFIG.format(model=given.model, notes=root / "notes", log=root / "app.log")
        daemon = Daemon(root / "home", root / "notes", text)
        daemon.write("one.md")
        daemon.start()
        try:
            wait_for(lambda: daemon.counts().get("done") == 1, 300)
            time.sleep(30)  # what follows the first job: prefixes are saved, threads end
            files, before, began = stamps(daemon.home), look(daemon.pid), time.monotonic()
            time.sleep(given.minutes * 60)
            took, after = time.monotonic() - began, look(daemon.pid)
            changed = [str(path) for path, stamp in stamps(daemon.home).items() if files.get(path) != stamp]
        finally:
            daemon.stop()
    print(f"{took / 60:.1f} minutes idle, model {given.model}\n")
    print(f"{'process':<24}{'CPU % of a core':>16}{'RSS MiB':>10}{'RssAnon MiB':>13}{'written KiB':>13}")
    for pid, now in after.items():
        cpu = 100 * (now.cpu - before[pid].cpu) / took
        written = (now.written - before[pid].written) / 1024
        print(f"{now.name:<24}{cpu:>16.2f}{now.rss / MIB:>10.1f}{now.anonymous / MIB:>13.1f}{written:>13.0f}")
    print(f"\nfiles of the home that changed: {', '.join(changed) or 'none'}")


if __name__ == "__main__":
    main()
