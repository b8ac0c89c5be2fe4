"""A large tree that is watched, beside git on the same tree: `python -m benchmarks.folders [--files 100000]`.

A real daemon, whose model cannot be loaded so that jobs are made and none is done: how long its first scan takes
until every file is a job, a restart with nothing new, and a burst as a checkout makes it; what the supervisor's
memory grows by, and what it uses while nothing happens. git looks at the same: `git add` reads and hashes every
file, `git status` compares them all.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from agentd.cli.client import DaemonClient
from agentd.errors import AgentdError
from agentd.paths import find_paths

IN_FOLDER = 100  # files of the tree
IDLE_SECONDS = 30.0
SETTLE = "2s"  # as by default
CONFIG = """\
models:
  main: {{path: {home}/none.gguf}}
watch:
  - {{path: "{tree}", task: summarise, settle: {settle}}}
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn; times in seconds, memory in bytes."""

    first: float  # from the start of the daemon to a job for every file
    restart: float  # to a scan that found nothing new
    burst: float  # from the end of the checkout to a job for every file that it changed
    grown: int  # of the supervisor's memory, over that of one that watches an empty folder
    idle: float  # share of one core
    git_add: float
    git_status: float
    git_burst: float  # `git add` of what the checkout changed


class Daemon:
    """`agentd start` on a home of its own."""

    def __init__(self, home: Path, tree: Path) -> None:
        home.mkdir()
        self._home = home
        (home / "config.yaml").write_text(CONFIG.format(home=home, tree=tree, settle=SETTLE))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        os.environ["AGENTD_HOME"] = str(self._home)
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "agentd", "start"], stdout=log, stderr=log)

    def stop(self) -> None:
        """Stop it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def scanned(self) -> bool:
        """Whether the folder was compared with what is known."""
        try:
            (watch,) = DaemonClient(find_paths()).get("/v1/status")["watches"]
        except AgentdError:
            return False
        return bool(watch["scanned"])

    def jobs(self) -> int:
        """How many jobs there are."""
        if not (self._home / "agentd.db").exists():
            return 0
        connection = sqlite3.connect(self._home / "agentd.db", timeout=30)
        try:
            return int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # its tables are being made
        finally:
            connection.close()

    @property
    def process(self) -> psutil.Process:
        """The supervisor."""
        assert self._process is not None
        return psutil.Process(self._process.pid)


def make_tree(tree: Path, files: int) -> None:
    """Notes in folders of folders, each with words of its own."""
    for number in range(files):
        folder = tree / f"{number // IN_FOLDER // IN_FOLDER:02}" / f"{number // IN_FOLDER % IN_FOLDER:02}"
        if number % IN_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"note-{number}.md").write_text(f"# Note {number}\n\n" + f"Word {number} of many.\n" * 12)


def check_out(tree: Path) -> int:
    """Change a fifth of the files as git does it, by new files under their names, and remove some."""
    changed = 0
    for number, file in enumerate(sorted(tree.rglob("*.md"))):
        if number % 5 == 0:
            spare = file.with_name(f".{file.name}.new")
            spare.write_text(f"{file.read_text()}Another line.\n")
            spare.rename(file)
            changed += 1
        elif number % 50 == 1:
            file.unlink()
    return changed


def seconds_until(condition: Callable[[], bool], since: float, most: float = 1800.0) -> float:
    """Seconds from `since` to the moment in which a condition holds."""
    while not condition():
        if time.monotonic() - since > most:
            raise TimeoutError(f"not within {most:g} s")
        time.sleep(0.05)
    return time.monotonic() - since


def timed(*command: str, folder: Path) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.monotonic() - began


def measure(files: int, scratch: Path) -> Measured:
    """One turn."""
    tree, empty = scratch / "tree", scratch / "empty"
    empty.mkdir()
    idle_daemon = Daemon(scratch / "home-of-empty", empty)
    idle_daemon.start()
    seconds_until(idle_daemon.scanned, time.monotonic())
    base = idle_daemon.process.memory_info().rss
    idle_daemon.stop()
    make_tree(tree, files)
    daemon = Daemon(scratch / "home", tree)
    began = time.monotonic()
    daemon.start()
    first = seconds_until(lambda: daemon.jobs() >= files, began)
    daemon.stop()
    began = time.monotonic()
    daemon.start()
    restart = seconds_until(daemon.scanned, began)
    before = sum(daemon.process.cpu_times()[:2])
    time.sleep(IDLE_SECONDS)
    idle = (sum(daemon.process.cpu_times()[:2]) - before) / IDLE_SECONDS
    changed = check_out(tree)
    burst = seconds_until(lambda: daemon.jobs() >= files + changed, time.monotonic())
    grown = daemon.process.memory_info().rss - base
    daemon.stop()
    shutil.rmtree(tree)
    make_tree(tree, files)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    git_add = timed("git", "add", "-A", folder=tree)
    git_status = timed("git", "status", "--short", folder=tree)
    check_out(tree)
    git_burst = timed("git", "add", "-A", folder=tree)
    return Measured(first, restart, burst, grown, idle, git_add, git_status, git_burst)


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print a table."""
    turns = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            turns.append(measure(arguments.files, Path(folder)))
            print(turns[-1], file=sys.stderr)
    table = Table(title=f"{arguments.files:,} files", box=None, title_justify="left")
    for column in ("", "agentd", "git", "times git"):
        table.add_column(column, justify="left" if not column else "right")
    for name, ours, theirs in (
        ("first scan, to jobs", "first", "git_add"),
        ("restart, nothing new", "restart", "git_status"),
        ("burst of a fifth, to jobs", "burst", "git_burst"),
    ):
        mine, peer = (sorted(getattr(one, which) for one in turns)[len(turns) // 2] for which in (ours, theirs))
        table.add_row(name, f"{mine:.1f} s", f"{peer:.1f} s", f"{mine / peer:.1f}")
    table.add_row("memory grown, at most", f"{max(one.grown for one in turns) / 2**20:.0f} MiB", "", "")
    table.add_row("idle, share of a core", f"{max(one.idle for one in turns):.2%}", "", "")
    Console(highlight=False).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in turns], indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    main(parser.parse_args())
