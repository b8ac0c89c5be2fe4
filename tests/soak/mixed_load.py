"""Hours of everything at once on one daemon that must neither grow nor lose: `python -m tests.soak.mixed_load`.

Files are written and edited, a log grows and is rotated, questions are asked, the config is read again and again
with folders that come and go, and the children of the engine, of the readers and of the logs are killed. What was
done stands in a ledger outside; at the end every content must have one result, every line must be counted once,
and the supervisor must be as large as it was. In the last quarter no child is killed, so that one lives long
enough to be seen growing. The model is the fake one: it is the daemon that is looked at.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agentd.cli.client import DaemonClient
from agentd.errors import AgentdError
from agentd.paths import find_paths
from tests.acceptance.daemon import Daemon
from tests.logs.following import rotate
from tests.soak.ledger import Ledger
from tests.soak.vitals import Vitals
from tests.waiting import wait_for

FILES = 200  # names, written to again and again: what is known of a folder grows with its names
PAGES = 20
EDIT_SECONDS = 0.4
PAGE_SECONDS = 2.0
LOG_SECONDS, LOG_LINES = 0.5, 40
ROTATE_SECONDS = 47.0
ASK_SECONDS = 3.0
DIGEST_SECONDS = 20.0
RELOAD_SECONDS = 11.0
CRASH_SECONDS = 31.0
SAMPLE_SECONDS = 2.0
SPARED_SHARE = 0.25  # of the run, at its end, in which no child is killed
SETTLE_SECONDS = 60.0  # that the queue may take to run dry at the end

CONFIG = """\
models:
  main: {{path: fake}}
watch:
  - {{path: "{notes}", task: note-tagging, settle: 100ms}}
  - {{path: "{pages}", include: ["*.html"], task: summarise, settle: 100ms}}
{more}
logs:
  - {{path: "{log}", start: beginning, calls_per_hour: 60, news: {{warm_up: 1m}}}}
schedule:
  - {{task: daily-digest, name: often, every: 1m, apply: auto}}
actions:
  targets: {{digests: "{digests}"}}
vocabularies:
  tags: [python, garden, kitchen]
"""
MORE = '  - {{path: "{other}", task: summarise, settle: 100ms, existing: process}}'
# A child that is killed takes the file it reads with it, which is told by name and not tried again.
FELL_WITH_READER = "SELECT source, content FROM jobs WHERE reason = 'reader-failed'"
# Jobs of the schedule, the local times among them, and their results.
OF_SCHEDULE = (
    "SELECT count(*), count(DISTINCT occasion), (SELECT count(*) FROM results WHERE task = 'daily-digest') "
    "FROM jobs WHERE task = 'daily-digest'"
)
CHILDREN = ("agentd.engine.child", "agentd.logs.child", "agentd.readers.child")
MESSAGES = (
    "INFO request {n} took {ms} ms",
    "WARNING queue of worker {n} is full",
    "ERROR cannot reach 10.0.0.{n}: connection refused",
    "INFO user {n} logged in",
)


@dataclass(slots=True)
class Load:
    """One run: a daemon, its load and what is known of both."""

    daemon: Daemon
    ledger: Ledger
    chance: random.Random
    vitals: Vitals
    children: dict[tuple[str, int], Vitals]  # by module and pid: one that was replaced begins anew
    stop: threading.Event
    sparing: threading.Event
    counts: Counter[str]
    broken: list[Exception]

    @property
    def log(self) -> Path:
        return self.daemon.home.parent / "app.log"

    @property
    def pages(self) -> Path:
        return self.daemon.home.parent / "pages"

    @property
    def other(self) -> Path:
        return self.daemon.home.parent / "other"

    def client(self, seconds: float = 120.0) -> DaemonClient:
        return DaemonClient(find_paths(), seconds)

    def configure(self, *, more: bool) -> None:
        added = MORE.format(other=self.other) if more else ""
        text = CONFIG.format(
            notes=self.daemon.folder,
            pages=self.pages,
            log=self.log,
            more=added,
            digests=self.daemon.home.parent / "digests",
        )
        part = self.daemon.home / "config.yaml.part"
        part.write_text(text)
        part.rename(self.daemon.home / "config.yaml")

    # What the load is made of: each is called again and again by a thread of its own.

    def edit(self) -> None:
        """Give a note another content."""
        number = self.counts["notes"] = self.counts["notes"] + 1
        text = f"# Note {number}\n\nThe {number}th note tells of pears and of python.\n"
        self.put(self.daemon.folder / f"note-{self.chance.randrange(FILES)}.md", text)

    def edit_page(self) -> None:
        """Give a page another content: a child reads those."""
        number = self.counts["pages"] = self.counts["pages"] + 1
        text = f"<html><body><h1>Page {number}</h1><p>The {number}th page tells of plums.</p></body></html>"
        self.put(self.pages / f"page-{self.chance.randrange(PAGES)}.html", text)

    def put(self, path: Path, text: str) -> None:
        """Write a file and wait until its content was dealt with: what is edited sooner may be skipped."""
        content = self.ledger.note_content(path, text.encode())
        path.write_text(text)
        sql = "SELECT source, content FROM results WHERE source = :path AND content = :content UNION "
        given = {"path": str(path), "content": content}
        sql += f"{FELL_WITH_READER} AND source = :path AND content = :content"
        wait_for(lambda: self.daemon.query(sql, given) or self.stop.is_set(), 120, f"a result for {path}")

    def write_log(self) -> None:
        lines = [
            f"2026-05-04 03:02:01 {self.chance.choice(MESSAGES)}".format(
                n=self.chance.randrange(250), ms=self.chance.randrange(9999)
            )
            for _ in range(LOG_LINES)
        ]
        self.ledger.note_lines(len(lines))
        with self.log.open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.counts["lines"] += len(lines)

    def rotate(self) -> None:
        """As logrotate does it, with twenty kept: what goes was read long ago, whatever was killed meanwhile."""
        rotate(self.log)
        self.log.touch()
        self.counts["rotations"] += 1

    def ask(self) -> None:
        try:
            for part in self.client().stream("/v1/ask", {"question": "What does the note tell of?"}):
                self.counts["answers"] += part["type"] == "done"
        except AgentdError as error:
            # Its child was killed just then: a person is told so, and asks again.
            self.counts[f"ask: {error.code}"] += 1

    def digest(self) -> None:
        """Ask for a digest, beside those that the clock asks for."""
        try:
            self.client().post("/v1/schedules/often/run")
            self.counts["digests asked for"] += 1
        except AgentdError as error:
            # Nothing was done since the last one, or the config was being read again.
            self.counts[f"digest: {error.code}"] += 1

    def reload(self) -> None:
        self.configure(more=self.counts["reloads"] % 2 == 0)
        if self.chance.random() < 0.5:
            self.client().post("/v1/reload")
        else:
            os.kill(self.daemon.pid, signal.SIGHUP)
        self.counts["reloads"] += 1

    def crash(self) -> None:
        if self.sparing.is_set() or not (alive := self.alive()):
            return
        (module, _), victim = self.chance.choice(list(alive.items()))
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            self.counts[f"kills of {module}"] += 1

    def alive(self) -> dict[tuple[str, int], psutil.Process]:
        """The children there are now, by module and pid."""
        found = {}
        for child in psutil.Process(self.daemon.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                for module in set(CHILDREN) & set(child.cmdline()):
                    found[module, child.pid] = child
        return found

    def sample(self) -> None:
        self.vitals.sample(self.daemon.pid)
        for key in self.alive():
            self.children.setdefault(key, Vitals()).sample(key[1])

    def repeatedly(self, work: Callable[[], None], seconds: float) -> threading.Thread:
        """Do one kind of work about every so many seconds, in a thread, until all stop."""

        def run() -> None:
            try:
                while not self.stop.wait(seconds * self.chance.uniform(0.5, 1.5)):
                    work()
            except Exception as error:  # noqa: BLE001 - told by the main thread
                self.broken.append(error)
                self.stop.set()

        thread = threading.Thread(target=run, name=work.__name__)
        thread.start()
        return thread


@contextlib.contextmanager
def started(root: Path, seed: int) -> Iterator[Load]:
    """A daemon in a home of its own, ready, and stopped afterwards."""
    os.environ["AGENTD_HOME"] = str(root / "home")
    daemon = Daemon(root / "home", root / "notes")
    load = Load(
        daemon,
        Ledger(root / "ledger.jsonl"),
        random.Random(seed),
        Vitals(),
        {},
        threading.Event(),
        threading.Event(),
        Counter(),
        [],
    )
    load.other.mkdir()
    load.pages.mkdir()
    (root / "digests").mkdir()
    (load.other / "letter.md").write_text("# Letter\n\nThe pears are ripe.\n")
    load.log.touch()
    load.configure(more=False)
    daemon.start()
    try:
        yield load
    finally:
        load.stop.set()
        try:
            daemon.stop()
        finally:  # one that hangs is not left behind
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def run(load: Load, seconds: float, pace: float = 1.0) -> dict[str, Any]:
    """Load the daemon for so long, let it finish, and say how it was. A short run needs a higher pace."""
    kinds = [
        (load.edit, EDIT_SECONDS),
        (load.edit_page, PAGE_SECONDS),
        (load.write_log, LOG_SECONDS),
        (load.rotate, ROTATE_SECONDS),
        (load.ask, ASK_SECONDS),
        (load.digest, DIGEST_SECONDS),
        (load.reload, RELOAD_SECONDS),
        (load.crash, CRASH_SECONDS),
        (load.sample, SAMPLE_SECONDS),
    ]
    threads = [load.repeatedly(work, every / pace) for work, every in kinds]
    load.stop.wait(seconds * (1 - SPARED_SHARE))
    load.sparing.set()
    load.stop.wait(seconds * SPARED_SHARE)
    load.stop.set()
    for thread in threads:
        thread.join(180)
    if load.broken:
        raise load.broken[0]
    return settle(load)


def settle(load: Load) -> dict[str, Any]:
    """Wait until all is done, and hold it against the ledger."""
    daemon, wanted = load.daemon, load.ledger.contents()

    def missing() -> list[tuple[str, str]]:
        sql = f"SELECT source, content FROM results UNION {FELL_WITH_READER}"
        return sorted(set(wanted) - set(daemon.query(sql)))

    def unfinished() -> int:
        return int(daemon.query("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")[0][0])

    def all_read() -> bool:
        return sum(log["lines"] for log in daemon.status()["logs"]) >= load.ledger.lines()

    with contextlib.suppress(AssertionError):  # the report says what is missing
        wait_for(lambda: not missing() and all_read() and not unfinished(), SETTLE_SECONDS)
    twice = daemon.query(
        "SELECT source, content, count(*) FROM results GROUP BY source, content HAVING count(*) > 1"
    )
    return {
        "load": dict(load.counts),
        "contents": len(wanted),
        "lost": missing(),
        "twice": [row for row in twice if row[2] > wanted[row[:2]]],
        "bad jobs": daemon.query(
            "SELECT id, state, reason, error FROM jobs WHERE state IN ('failed', 'quarantined') "
            "AND reason != 'reader-failed'"
        ),
        "fell with a reader": len(daemon.query(FELL_WITH_READER)),
        "lines": load.ledger.lines(),
        "lines read": sum(log["lines"] for log in daemon.status()["logs"]),
        "unfinished": unfinished(),
        "digests": daemon.query(OF_SCHEDULE)[0],
        "integrity": daemon.query("PRAGMA integrity_check")[0][0],
        "supervisor": load.vitals.report(),
        "children that lived longest": {
            module: longest(load, module).report() for module in CHILDREN if longest(load, module).samples
        },
        "duties started again": {
            name: duty["restarts"] for name, duty in daemon.status()["duties"].items() if duty["restarts"]
        },
    }


def longest(load: Load, module: str) -> Vitals:
    """The samples of the child of one kind that lived longest."""
    found = [vitals for (name, _), vitals in load.children.items() if name == module]
    return max(found, key=lambda vitals: len(vitals.samples), default=Vitals())


def problems(report: dict[str, Any], *, most_mib_an_hour: float | None = 2.0) -> list[str]:
    """What of a report is not as it must be. A run of minutes still warms up: it cannot be held to a growth."""
    found = [f"{key}: {report[key][:5]}" for key in ("lost", "twice", "bad jobs") if report[key]]
    if report["fell with a reader"] > report["load"].get("kills of agentd.readers.child", 0):
        found.append(f"{report['fell with a reader']} files fell with a reader")
    if len(set(report["digests"])) > 1 or report["unfinished"]:
        found.append(f"digests: {report['digests']}; unfinished: {report['unfinished']}")
    if report["lines"] != report["lines read"]:
        found.append(f"{report['lines']} lines were written and {report['lines read']} counted")
    if report["integrity"] != "ok":
        found.append(f"integrity: {report['integrity']}")
    grown = report["supervisor"]
    if most_mib_an_hour is not None and grown["MiB an hour"] >= most_mib_an_hour:
        found.append(f"the supervisor grew by {grown['MiB an hour']} MiB an hour")
    found += [f"{key}: {grown[key]}" for key in ("descriptors gained", "threads gained") if grown[key] >= 3]
    return found


def main() -> int:
    """Run for `--minutes` and print the report as JSON; 1 where something was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    print(f"SEED={given.seed}", file=sys.stderr)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agentd-soak-") as folder, started(Path(folder), given.seed) as load:
        report = run(load, given.minutes * 60)
    print(json.dumps(report | {"minutes": round((time.monotonic() - began) / 60, 1)}, indent=2))
    wrong = problems(report)
    for problem in wrong:
        print(f"not as it must be: {problem}", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
