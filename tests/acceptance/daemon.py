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

from tests.waiting import wait_for

FAKE_CONFIG = """\
models:
  main: {{path: fake}}
watch:
  - {{path: "{folder}", task: {task}, settle: {settle}}}
vocabularies:
  tags: [python, garden, kitchen]
"""


class Daemon:
    """`agentd start` on one home, watching one folder."""

    def __init__(self, home: Path, folder: Path, config: str | None = None) -> None:
        self.home = home
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        text = config or FAKE_CONFIG.format(folder=folder, task="note-tagging", settle="100ms")
        (home / "config.yaml").write_text(text)

    @property
    def database(self) -> Path:
        return self.home / "agentd.db"

    @property
    def log(self) -> str:
        return (self.home / "test.log").read_text("utf-8", "replace")

    def start(self, *, ready: bool = True) -> None:
        with (self.home / "test.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agentd", "start"],
                env=os.environ | {"AGENTD_HOME": str(self.home)},
                stdout=log,
                stderr=log,
            )
        if ready:
            wait_for(self.is_ready, 60, "a ready daemon")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        done = self.agentd("status", "--json")
        return done.returncode == 0 and bool(json.loads(done.stdout)["ready"])

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

    def json(self, *words: str) -> Any:
        done = self.agentd(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> Any:
        return self.json("status")

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            assert self.kill(signal.SIGTERM) == 0, self.log

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Look into the database beside the daemon."""
        connection = sqlite3.connect(self.database, timeout=30)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def counts(self) -> dict[str, int]:
        if not self.database.exists():
            return {}
        try:
            return dict(self.query("SELECT state, count(*) FROM jobs GROUP BY state"))
        except sqlite3.OperationalError:
            return {}  # the tables are not there yet

    def wait_done(self, count: int, seconds: float = 60) -> None:
        wait_for(lambda: self.counts().get("done", 0) >= count, seconds, f"{count} jobs done: {self.counts()}")
