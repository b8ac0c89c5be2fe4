"""A real daemon in a real process, for tests that treat it as a user or a fault would."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from agentd.cli.client import DaemonClient
from agentd.daemon.work import Worker
from agentd.paths import find_paths
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: {model}}}
watch:
  - {{path: "{folder}", task: note-tagging, settle: 100ms}}
vocabularies:
  tags: [python, garden, kitchen]
"""


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, reaped or not."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


class Daemon:
    """`agentd start` on one home, watching one folder."""

    def __init__(self, home: Path, folder: Path, config: str | None = None, model: str = "fake") -> None:
        self.home = home
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}  # beside our own
        self.options: tuple[str, ...] = ()  # of `agentd start`
        self._said = 0  # length of the log when this daemon was started
        home.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (home / "config.yaml").write_text(config or CONFIG.format(folder=folder, model=model))

    @property
    def database(self) -> Path:
        return self.home / "agentd.db"

    @property
    def log(self) -> str:
        """What every daemon of this home has said so far."""
        file = self.home / "test.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def start(self, *, ready: bool = True) -> None:
        self._said = len(self.log)
        with (self.home / "test.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agentd", "start", *self.options],
                env=os.environ | {"AGENTD_HOME": str(self.home)} | self.environment,
                stdout=log,
                stderr=log,
            )
        if ready:
            wait_for(lambda: (self.status() or {}).get("ready"), 60, "a ready daemon")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def child(self) -> psutil.Process:
        """The engine child."""
        return psutil.Process(self.status()["models"]["main"]["child_pid"])

    def fill_hands(self) -> int:
        """Suspend the engine child and give the worker all the jobs that it takes in hand; how many these are."""
        hands = self.status()["models"]["main"]["parallel"] + Worker.AHEAD
        self.child.suspend()
        for number in range(hands):
            self.write(f"hand-{number}.md")
        wait_for(lambda: self.counts().get("running") == hands, what=f"{hands} jobs in hand")
        return int(hands)

    def agentd(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "agentd", *words],
            env=os.environ | {"AGENTD_HOME": str(self.home)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def json(self, *words: str, code: int = 0) -> Any:
        done = self.agentd(*words, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def status(self) -> Any:
        """What `agentd status --json` prints, without a process for it; None where nobody answers yet."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        # A connection that is refused leaves httpcore with an open socket, about which Python then warns.
        if "agentd is running" not in self.log[self._said :]:
            return None
        return DaemonClient(find_paths()).get("/v1/status")

    def write(self, name: str, text: str = "") -> Path:
        """A file in the watched folder."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text or f"# {name}\n\nThe note {name} tells of pears.\n")
        return file

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            assert self.kill(signal.SIGTERM) == 0, self.log

    def query(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Look into the database beside the daemon."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def query_early(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into a database that may not have its tables yet; no rows then."""
        if not self.database.exists():
            return []
        try:
            return self.query(sql)
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []

    def counts(self) -> dict[str, int]:
        return dict(self.query_early("SELECT state, count(*) FROM jobs GROUP BY state"))

    def wait_done(self, count: int, seconds: float = 120) -> None:
        wait_for(lambda: self.counts().get("done", 0) >= count, seconds, f"{count} jobs done")

    def check_once_each(self, files: int) -> None:
        """Nothing lost and nothing twice: a job and a result for every file, each at the first counted try."""
        assert self.counts() == {"done": files}
        assert self.query("SELECT count(DISTINCT source), max(attempts), max(crashes) FROM jobs") == [
            (files, 1, 0)
        ]
        assert self.query("SELECT count(*), count(DISTINCT source) FROM results") == [(files, files)]
        assert self.query("SELECT count(*) FROM jobs WHERE owner IS NOT NULL OR reason IS NOT NULL") == [(0,)]
        assert self.query("PRAGMA integrity_check") == [("ok",)]
