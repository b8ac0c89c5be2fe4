"""The memory that a long document takes: `python -m benchmarks.long [--pages 300]`.

A PDF is made of Python's own language reference (some 52,000 words of prose, tables and code, each paragraph
once), given to `agentd run summarise` with a real daemon and the starter model, and the resident memory of the
daemon, its reader child and its engine child is looked at once a second. Printed are every tenth of the run, and
how much each process grew after the first fifth, in which the cache of the model fills up. Bound: the whole
document read, and no process grown by more than `GROWTH` since.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from agentd.paths import find_paths
from agentd.store import queue
from agentd.store.database import read_once
from tests.readers import making

MIB = 1024**2
GROWTH = 32  # MiB
KINDS = {"engine": "agentd.engine.child", "reader": "agentd.readers.child"}
EVERY_SECONDS = 1.0
WIDTH = 90  # characters of a line


@dataclass(frozen=True, slots=True)
class Look:
    """The processes at one moment."""

    seconds: float
    progress: str
    memory: dict[str, float]  # MiB by kind of process


@dataclass(slots=True)
class Measured:
    """A run to its end."""

    pages: int
    words: int
    looks: list[Look] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    def growth(self, kind: str) -> float:
        """How much the most of a process after the first fifth of the run exceeds what it had at its end."""
        later = self.looks[len(self.looks) // 5 :]
        found = [look.memory[kind] for look in later if kind in look.memory]
        return max(found) - found[0] if found else 0.0


def make_pages(count: int, words: int) -> list[list[str]]:
    """The lines of at most `count` pages, each of about so many words of the language reference."""
    paragraphs = dict.fromkeys(
        " ".join(paragraph.split()) for name in sorted(topics) for paragraph in topics[name].split("\n\n")
    )
    lines = [line for paragraph in paragraphs if paragraph for line in [*textwrap.wrap(paragraph, WIDTH), ""]]
    pages: list[list[str]] = []
    said = 0
    for line in lines:
        if said >= words * len(pages):
            if len(pages) == count:
                break
            pages.append([])
        pages[-1].append(line)
        said += len(line.split())
    return pages


def draw(page: Sequence[str], number: int) -> Iterator[tuple[float, float, str]]:
    """A page as it is drawn: its lines from above, its number at the foot."""
    for index, line in enumerate(page):
        if line:
            yield 40.0, 750.0 - 14 * index, line.encode("latin-1", "replace").decode("latin-1")
    yield 300.0, 20.0, str(number)


def look(began: float, daemon: psutil.Process, database: Path) -> Look:
    """The daemon and its children as they are now."""
    memory = {"daemon": daemon.memory_info().rss / MIB}
    for child in daemon.children():
        try:
            words = " ".join(child.cmdline())
            for kind, module in KINDS.items():
                if module in words:
                    memory[kind] = memory.get(kind, 0.0) + child.memory_info().rss / MIB
        except psutil.NoSuchProcess:
            continue
    jobs = read_once(database, lambda db: queue.find(db, limit=1))
    return Look(time.monotonic() - began, jobs[0].progress or "" if jobs else "", memory)


def measure(pages: Sequence[Sequence[str]], folder: Path) -> Measured:
    """Run the task on the document through a daemon."""
    file = folder / "long.pdf"
    file.write_bytes(making.pdf([list(draw(page, number)) for number, page in enumerate(pages, 1)]))
    measured = Measured(len(pages), sum(len(line.split()) for page in pages for line in page))
    agentd = [sys.executable, "-m", "agentd"]
    subprocess.run([*agentd, "start", "--detach"], check=True, stderr=subprocess.DEVNULL)
    try:
        status = json.loads(subprocess.run([*agentd, "status", "--json"], check=True, capture_output=True).stdout)
        daemon = psutil.Process(status["pid"])
        began = time.monotonic()
        running = subprocess.Popen([*agentd, "run", "summarise", str(file), "--json"], stdout=subprocess.PIPE)
        while running.poll() is None:
            time.sleep(EVERY_SECONDS)
            measured.looks.append(look(began, daemon, find_paths().database))
        assert running.stdout is not None
        found = json.load(running.stdout)
        measured.result = found[0] if found else {}
    finally:
        subprocess.run([*agentd, "stop"], check=True, stderr=subprocess.DEVNULL)
    return measured


def report(measured: Measured) -> bool:
    """Print the table; whether the bound is kept."""
    table = Table(
        "minutes",
        "progress",
        *("daemon", *KINDS),
        title=f"{measured.pages} pages, {measured.words:,} words; MiB of resident memory",
        box=None,
        title_justify="left",
    )
    count = len(measured.looks)
    for at in sorted({count * tenth // 10 for tenth in range(10)} | {count - 1}):
        seen = measured.looks[at]
        shown = [f"{seen.memory[kind]:.0f}" if kind in seen.memory else "" for kind in ("daemon", *KINDS)]
        table.add_row(f"{seen.seconds / 60:.1f}", seen.progress, *shown)
    growths = {kind: measured.growth(kind) for kind in ("daemon", *KINDS)}
    table.add_row("", "grew by", *(f"{grown:+.0f}" for grown in growths.values()))
    Console(highlight=False).print(table)
    coverage = measured.result.get("coverage", {})
    print(json.dumps(measured.result.get("output"), indent=2, ensure_ascii=False))
    print("coverage:", coverage.get("text") or coverage)
    return coverage.get("seen") == measured.pages and max(growths.values()) <= GROWTH


def main(arguments: argparse.Namespace) -> int:
    """Measure, print; 1 where the bound is broken."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AGENTD_HOME"] = f"{folder}/home"
        measured = measure(make_pages(arguments.pages, arguments.words), Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(measured), indent=2))
    return 0 if report(measured) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--words", type=int, default=170, help="of a page")
    parser.add_argument("--json", type=Path, help="write the looks and the result to this file, too")
    sys.exit(main(parser.parse_args()))
