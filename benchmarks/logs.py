"""How fast logs become patterns, beside drain3 with its README's masks in the same run, and how good they are.

    python -m benchmarks.logs [--data FOLDER] [--quick] [--json FILE]

`--data` is a folder with the labelled sets of LogHub (`NAME/NAME_2k.log` and its csv), which are not part of the
project. Speeds are medians of three runs in turns; a quiet machine is needed.
"""

import argparse
import csv
import json
import random
import re
import resource
import statistics
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig
from rich.console import Console
from rich.table import Table

from agentd.logs.chunk import Chunk
from agentd.logs.digest import Changes, Digest
from agentd.logs.entries import rule
from agentd.logs.findings import judge_profile
from agentd.logs.news import NewsSettings
from agentd.logs.patterns import Ids
from agentd.logs.saved import delta
from agentd.logs.scan import look_at
from agentd.store import logs
from agentd.store.database import connect, migrate, transaction

RUNS = 3
SETS = ("Apache", "HDFS", "Hadoop", "Linux", "Mac", "OpenSSH", "Spark", "Zookeeper")
DATA = Path(__file__).parents[2] / "shared" / "data" / "loghub"
SETTINGS = NewsSettings()
# What drain3's README masks in its example configuration.
MASKS = (
    (r"((?<=[^A-Za-z0-9])|^)(([0-9a-f]{2,}:){3,}([0-9a-f]{2,}))((?=[^A-Za-z0-9])|$)", "ID"),
    (r"((?<=[^A-Za-z0-9])|^)(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})((?=[^A-Za-z0-9])|$)", "IP"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9a-f]{6,} ?){3,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)([0-9A-F]{4} ?){4,}((?=[^A-Za-z0-9])|$)", "SEQ"),
    (r"((?<=[^A-Za-z0-9])|^)(0x[a-f0-9A-F]+)((?=[^A-Za-z0-9])|$)", "HEX"),
    (r"((?<=[^A-Za-z0-9])|^)([\-\+]?\d+)((?=[^A-Za-z0-9])|$)", "NUM"),
    (r"(?<=executed cmd )(\".+?\")", "CMD"),
)


def drain() -> TemplateMiner:
    """drain3 with those masks."""
    config = TemplateMinerConfig()
    config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS]
    return TemplateMiner(config=config)


def mine(log: Path) -> Digest:
    """Read a log into a digest."""
    return _mine(log, lambda digest, chunk: digest.learn(chunk))


def mine_and_store(log: Path) -> Digest:
    """Read a log into a digest and SQLite, a commit a chunk, as the daemon does it."""
    with tempfile.TemporaryDirectory() as folder:
        db = connect(Path(folder) / "agentd.db")
        migrate(db)
        ids = Ids()

        def learn(digest: Digest, chunk: Chunk) -> None:
            digest.changes = Changes()
            digest.learn(chunk)
            judged = {
                number: judge_profile(digest.profiles[number], digest, SETTINGS)
                for number in digest.changes.patterns
                if number in digest.profiles
            }
            row = delta(str(log), digest, digest.changes, judged, [], ids.next, chunk=chunk)
            with transaction(db):
                logs.apply(db, row, datetime.now(UTC))

        digest = _mine(log, learn)
        db.close()
        return digest


def _mine(log: Path, learn: Callable[[Digest, Chunk], None]) -> Digest:
    entries = rule("auto")
    digest = Digest(entries, SETTINGS)
    for chunk in look_at(log).chunks(entries, lambda _: None):
        learn(digest, chunk)
    return digest


def mine_with_drain(log: Path) -> TemplateMiner:
    """Read a log into drain3, header and all, as its README shows it."""
    miner = drain()
    with log.open(errors="replace") as file:
        for line in file:
            miner.add_log_message(line.rstrip())
    return miner


def speed(log: Path, work: Callable[[Path], object], lines: int) -> float:
    """Lines a second of one run."""
    began = time.perf_counter()
    work(log)
    return lines / (time.perf_counter() - began)


def varied(log: Path, target: Path, lines: int) -> None:
    """A log repeated to so many lines, every number in it another one each time."""
    chance = random.Random(1)
    text = log.read_text(errors="replace").splitlines()
    with target.open("w") as file:
        for number in range(lines):
            head, message = text[number % len(text)][:20], text[number % len(text)][20:]
            file.write(head + re.sub(r"\d{2,}", lambda found: _other(found[0], chance), message) + "\n")


def _other(number: str, chance: random.Random) -> str:
    return str(chance.randrange(10 ** (len(number) - 1), 10 ** len(number)))


def words(target: Path, lines: int) -> None:
    """Lines of words that never come twice."""
    chance = random.Random(1)
    with target.open("w") as file:
        for _ in range(lines):
            made = ("".join(chance.choices(string.ascii_lowercase, k=7)) for _ in range(chance.randint(8, 12)))
            file.write(" ".join(made) + "\n")


def speeds(folder: Path, data: Path, lines: int) -> Iterator[tuple[str, float, float, float]]:
    """By log: lines a second of ours, of ours with SQLite, of drain3; medians."""
    varied(data / "HDFS" / "HDFS_2k.log", folder / "hdfs.log", lines)
    words(folder / "words.log", lines // 20)
    small = folder / "hdfs-part.log"
    varied(data / "HDFS" / "HDFS_2k.log", small, lines // 20)
    few = folder / "words-part.log"
    words(few, max(lines // 200, 100))
    for name, log, part in (
        ("Linux_full", data / "Linux" / "Linux_full.log", data / "Linux" / "Linux_full.log"),
        ("HDFS, varied", folder / "hdfs.log", small),  # a part is enough for drain3: it gets no faster
        ("random words", folder / "words.log", few),  # and here it gets slower with every line
    ):
        counts = {path: path.read_bytes().count(b"\n") for path in (log, part)}
        runs = [
            (
                speed(log, mine, counts[log]),
                speed(log, mine_and_store, counts[log]),
                speed(part, mine_with_drain, counts[part]),
            )
            for _ in range(RUNS)
        ]
        ours, stored, theirs = (statistics.median(column) for column in zip(*runs, strict=True))
        yield name, ours, stored, theirs


def steady(folder: Path, data: Path, millions: int) -> list[int]:
    """Resident MiB, at most so far, after each million lines of one log that goes on and on."""
    log = folder / "hdfs.log"
    if not log.exists():
        varied(data / "HDFS" / "HDFS_2k.log", log, 1_000_000)
    entries = rule("auto")
    digest = Digest(entries, SETTINGS)
    found = []
    for _ in range(millions):
        for chunk in look_at(log).chunks(entries, lambda _: None):
            digest.learn(chunk)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    return found


def labels(data: Path, name: str) -> tuple[list[str], list[str], list[str]]:
    """Of each line of a labelled set: its true pattern, its message, the whole line."""
    with (data / name / f"{name}_2k.log_structured.csv").open(encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    raw = (data / name / f"{name}_2k.log").read_text(errors="replace").splitlines()
    return [row["EventId"] for row in rows], [row["Content"] for row in rows], raw


def assigned(lines: list[str]) -> list[tuple[int, str | None]]:
    """Our pattern and event of each line."""
    digest = Digest(rule("none"), SETTINGS, keep_assignments=True)
    digest.learn(Chunk("x.log", 0, ("\n".join(lines) + "\n").encode(), ""))
    return [(digest.resolve(pattern), event) for pattern, event in digest.assignments or []]


def assigned_by_drain(lines: list[str]) -> list[tuple[int, str | None]]:
    """drain3's cluster and event of each line."""
    miner = drain()
    found = [miner.add_log_message(line) for line in lines]
    events = {"cluster_created": "created", "cluster_template_changed": "changed"}
    return [(one["cluster_id"], events.get(one["change_type"])) for one in found]


def quality(truth: list[str], found: list[tuple[int, str | None]]) -> tuple[float, float, float]:
    """Novelty recall, created patterns for each true one, and grouping accuracy."""
    first = {}
    for number, label in enumerate(truth):
        first.setdefault(label, number)
    recall = sum(found[number][1] is not None for number in first.values()) / len(first)
    created = sum(event == "created" for _, event in found) / len(first)
    sizes, ours = Counter(truth), Counter(pattern for pattern, _ in found)
    pairs = Counter((label, pattern) for label, (pattern, _) in zip(truth, found, strict=True))
    right = sum(count for (label, pattern), count in pairs.items() if count == sizes[label] == ours[pattern])
    return recall, created, right / len(truth)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="A tenth of the lines: only to see that it works.")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if not asked.data.is_dir():
        sys.exit(f"there are no labelled logs in {asked.data}: --data names their folder")
    console, kept = Console(), dict[str, object]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept["resident"] = steady(folder, asked.data, 2 if asked.quick else 5)
        table = Table("log", "agentd", "with SQLite", "drain3", "ratio", "with SQLite", title="Lines a second")
        for log, ours, stored, theirs in speeds(folder, asked.data, 100_000 if asked.quick else 1_000_000):
            kept[log] = {"agentd": ours, "stored": stored, "drain3": theirs}
            numbers = (f"{ours:,.0f}", f"{stored:,.0f}", f"{theirs:,.0f}")
            table.add_row(log, *numbers, f"{ours / theirs:.1f}", f"{stored / theirs:.1f}")
        console.print(table)
    console.print(f"resident MiB after each million lines: {kept['resident']}")
    table = Table("set", "recall", "raw", "created", "raw", "grouping", "raw", "drain3: recall", "raw", "grouping")
    sums = [0.0] * 9
    for name in SETS:
        truth, content, raw = labels(asked.data, name)
        ours = [quality(truth, assigned(lines)) for lines in (content, raw)]
        theirs = [quality(truth, assigned_by_drain(lines)) for lines in (content, raw)]
        row = [ours[side][kind] for kind in range(3) for side in range(2)]
        row += [theirs[0][0], theirs[1][0], theirs[0][2]]
        sums = [before + value for before, value in zip(sums, row, strict=True)]
        table.add_row(name, *(f"{value:.3f}" for value in row))
    means = [total / len(SETS) for total in sums]
    table.add_row("mean", *(f"{value:.3f}" for value in means))
    console.print(table)
    kept["quality"] = means
    if asked.json:
        asked.json.write_text(json.dumps(kept, indent=2))


if __name__ == "__main__":
    main()
