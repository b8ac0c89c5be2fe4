"""`make demo`: the real daemon on real files, in a home of its own that is gone afterwards.

It drops the files of `samples/` into a watched folder, shows the work as it goes on, prints the results, asks
one question and stops the daemon. Any step that fails ends it with the reason and exit code 1.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agentd.cli.client import DaemonClient
from agentd.errors import AgentdError
from agentd.paths import find_paths

SAMPLES = Path(__file__).parents[1] / "samples"
QUESTION = "When is the last frost?"
SOURCE = "tomatoes.md"  # where its answer stands
START_SECONDS, WORK_SECONDS, STOP_SECONDS = 60.0, 180.0, 20.0
CONFIG = """\
watch:
  - {{path: "{inbox}", include: ["*.md"], task: note-tagging}}
  - {{path: "{inbox}", include: ["*.txt"], task: summarise}}
vocabularies:
  tags:
    python: "the language and its tools"
    servers: "machines, backups, networks"
    home: "house, heating, repairs"
    garden: "plants, seeds, weather"
    kitchen: "recipes, bread, baking, flour, food"
    town: "meetings, neighbours, plans"
"""

console = Console(highlight=False)


class DemoFailed(Exception):
    """A step of the demo did not do what it should."""


def main() -> int:
    """Run every step; 0 when all of them worked."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agentd-demo-") as folder:
        home = Path(folder) / "home"
        os.environ["AGENTD_HOME"] = str(home)
        try:
            with running_daemon(home, Path(folder) / "inbox") as client:
                drop_and_watch(client, Path(folder) / "inbox")
                show("results")
                show("ask", QUESTION)
                check_citation()
        except (DemoFailed, AgentdError) as failure:
            console.print(f"\n[red]The demo failed:[/] {failure}")
            log = home / "demo.log"
            if log.exists():
                console.print("The daemon's log ends with:", *log.read_text().splitlines()[-15:], sep="\n  ")
            return 1
    console.print(f"\n[green]That is all:[/] {time.monotonic() - began:.0f} s. To use it: .venv/bin/agentd init")
    return 0


@contextlib.contextmanager
def running_daemon(home: Path, inbox: Path) -> Iterator[DaemonClient]:
    """`agentd start` with a fresh home, ended with SIGTERM."""
    home.mkdir()
    inbox.mkdir()
    (home / "config.yaml").write_text(CONFIG.format(inbox=inbox))
    console.print(f"[bold]$ agentd start[/]   (in {home})")
    with (home / "demo.log").open("wb") as log:
        daemon = subprocess.Popen([sys.executable, "-m", "agentd", "start"], stdout=log, stderr=log)
    try:
        client = DaemonClient(find_paths())
        status = wait(lambda: ready(client, daemon), START_SECONDS, "the daemon was not ready")
        for name, model in status["models"].items():
            console.print(f"  model {name}: {model['description']}, KV cache {model['kv_cache']}")
        for notice in status["notices"]:
            console.print(f"  [dim]{notice}[/]", soft_wrap=True)
        yield client
        console.print("\n[bold]$ kill -TERM[/]")
        daemon.send_signal(signal.SIGTERM)
        try:
            code = daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the daemon did not stop within {STOP_SECONDS:g} s") from None
        if code != 0:
            raise DemoFailed(f"the daemon ended with exit code {code}")
        console.print("  the daemon has stopped")
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()


def ready(client: DaemonClient, daemon: subprocess.Popen[bytes]) -> Any:
    """The status of a daemon that is ready, or None."""
    if daemon.poll() is not None:
        raise DemoFailed(f"the daemon ended with exit code {daemon.returncode}")
    try:
        status = client.get("/v1/status")
    except AgentdError:
        return None
    broken = [model["error"] for model in status["models"].values() if model["error"]]
    if broken:
        raise DemoFailed(broken[0])
    return status if status["ready"] else None


def drop_and_watch(client: DaemonClient, inbox: Path) -> None:
    """Copy the samples into the watched folder and show the work until every job has ended."""
    files = sorted(file for file in SAMPLES.iterdir() if file.suffix in (".md", ".txt"))
    console.print(f"\n[bold]$ cp samples/* {inbox}[/]")
    for file in files:
        shutil.copy(file, inbox)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("reading", total=len(files))

        def all_ended() -> bool:
            jobs = client.get("/v1/status")["jobs"]
            ended = sum(count for state, count in jobs.items() if state not in ("queued", "running"))
            progress.update(bar, completed=ended)
            return ended == len(files)

        wait(all_ended, WORK_SECONDS, "not every file was read")
    jobs = client.get("/v1/status")["jobs"]
    if jobs["done"] != len(files):
        raise DemoFailed(f"of {len(files)} files only {jobs['done']} became results: {jobs}")


def show(*words: str) -> None:
    """Run a command as a person would, in this very terminal."""
    console.print(f"\n[bold]$ agentd {shlex.join(words)}[/]")
    code = subprocess.run([sys.executable, "-m", "agentd", *words]).returncode
    if code != 0:
        raise DemoFailed(f"`agentd {words[0]}` ended with exit code {code}")


def check_citation() -> None:
    """Ask once more, for a program this time: the answer must cite where it stands."""
    command = [sys.executable, "-m", "agentd", "ask", QUESTION, "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=False).stdout or "{}")
    if SOURCE not in {Path(citation["source"]).name for citation in answer.get("citations", [])}:
        raise DemoFailed(f"the answer does not cite {SOURCE}")


def wait(condition: Callable[[], Any], seconds: float, failure: str) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"{failure} within {seconds:g} s")
        time.sleep(0.2)
    return found


if __name__ == "__main__":
    sys.exit(main())
