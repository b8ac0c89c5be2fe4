"""A digest that was stored and made again goes on as if nothing had happened."""

import random
from datetime import UTC
from pathlib import Path

import pytest

from agentd.logs.chunk import Chunk
from agentd.logs.digest import Changes, Digest
from agentd.logs.entries import rule
from agentd.logs.findings import Finding, find, judge_profile, rank
from agentd.logs.news import NewsSettings
from agentd.logs.patterns import Ids
from agentd.logs.saved import delta, restore
from agentd.records import Mark
from agentd.store import logs
from agentd.store.database import connect, migrate
from tests.making import NOW

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
SETTINGS = NewsSettings()
SOURCE = "app.log"


def chunks_of(text: bytes, size: int) -> list[Chunk]:
    found, offset = list[Chunk](), 0
    while offset < len(text):
        end = text.rfind(b"\n", offset, offset + size) + 1 or len(text)
        found.append(Chunk(SOURCE, offset, text[offset:end], Mark(SOURCE, 1, 2, end, 3), modified=1_781_000_000.0))
        offset = end
    return found


def new_digest(ids: Ids | None = None) -> Digest:
    return Digest(rule("auto"), SETTINGS, zone=UTC, ids=ids)


def told(digest: Digest) -> tuple[dict[str, object], list[Finding]]:
    patterns = {
        f"{one.profile.pattern.level} {one.profile.pattern.text}": (one.profile.pattern.count, one.severity.parts)
        for one in rank(digest, SETTINGS)
    }
    return patterns, find(rank(digest, SETTINGS), digest.logins.break_ins)


def learn_with_deaths(path: Path, chunks: list[Chunk], dies: set[int]) -> Digest:
    """Each chunk is stored; at the numbers in `dies` the process ends after that, and another goes on."""
    db = connect(path)
    migrate(db)
    ids = Ids()
    digest = new_digest(ids)
    digest.changes = Changes()
    for number, chunk in enumerate(chunks):
        digest.learn(chunk)
        changes, digest.changes = digest.changes, Changes()
        judged = {
            pattern: judge_profile(digest.profiles[pattern], digest, SETTINGS)
            for pattern in changes.patterns
            if pattern in digest.profiles
        }
        found = find(rank(digest, SETTINGS), digest.logins.break_ins)
        logs.apply(db, delta(SOURCE, digest, changes, judged, found, ids.next, chunk=chunk), NOW)
        if number in dies:
            saved = logs.load(db, SOURCE)
            assert saved is not None
            assert saved.marks == (chunk.mark,)
            ids = Ids(logs.next_pattern_id(db))
            digest = new_digest(ids)
            restore(digest, saved)
            digest.changes = Changes()
    db.close()
    return digest


def made_up(lines: int) -> bytes:
    chance = random.Random(7)
    text = []
    for n in range(lines):
        stamp = f"Jun {1 + n * 20 // lines:2} {chance.randrange(24):02}:{chance.randrange(60):02}:00 nas"
        text.append(
            chance.choice(
                [
                    f"{stamp} app[{n}]: request {n} took {chance.randrange(900)} ms",
                    f"{stamp} sshd[{n}]: Failed password for u{chance.randrange(40)} from 10.0.0.{n % 7} port {n}",
                    f"{stamp} kernel: Out of memory: Killed process {n} (web)",
                    f"{stamp} last message repeated {chance.randrange(2, 9)} times",
                    f"{stamp} app[1]: worker {chance.choice('abcdefghijklmnopqrstuvwxyz')} is up",
                ]
            )
        )
    return ("\n".join(text) + "\n").encode()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_counted_twice_however_often_it_ends(tmp_path: Path, seed: int) -> None:
    chunks = chunks_of(made_up(3000), 4000)
    chance = random.Random(seed)
    dies = {number for number in range(len(chunks)) if chance.random() < 0.4}
    whole, pieces = new_digest(), learn_with_deaths(tmp_path / "a.db", chunks, dies)
    for chunk in chunks:
        whole.learn(chunk)
    assert told(pieces) == told(whole)
    assert (pieces.lines, pieces.entries, pieces.logins.failed) == (
        whole.lines,
        whole.entries,
        whole.logins.failed,
    )


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the public logs are not here")
@pytest.mark.parametrize("name", ["Linux/Linux_full", "OpenSSH/OpenSSH_2k", "Hadoop/Hadoop_2k", "Mac/Mac_2k"])
def test_real_logs_come_to_the_same_across_deaths(tmp_path: Path, name: str) -> None:
    text = (LOGHUB / f"{name}.log").read_bytes()
    chunks = chunks_of(text, max(len(text) // 40, 10_000))
    chance = random.Random(name)
    dies = {number for number in range(len(chunks)) if chance.random() < 0.3}
    whole, pieces = new_digest(), learn_with_deaths(tmp_path / "a.db", chunks, dies)
    for chunk in chunks:
        whole.learn(chunk)
    assert (pieces.lines, pieces.entries) == (whole.lines, whole.entries)
    assert told(pieces) == told(whole)
