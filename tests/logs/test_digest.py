"""The digest: chunks in, patterns and what is known about them out."""

import re
from collections import Counter
from datetime import UTC
from pathlib import Path

import pytest

from agentd.logs.chunk import Chunk
from agentd.logs.digest import Digest
from agentd.logs.entries import rule
from agentd.logs.findings import find, rank
from agentd.logs.news import NewsSettings
from agentd.logs.times import moment

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
JUNE = 1_781_000_000.0  # in 2026
SETTINGS = NewsSettings()


def digest_of(text: str, *, size: int = 1 << 20, assignments: bool = False) -> Digest:
    digest = Digest(rule("auto"), SETTINGS, zone=UTC, keep_assignments=assignments)
    rest, offset = text.encode(), 0
    while rest:
        end = rest.rfind(b"\n", 0, size) + 1 or len(rest)
        digest.learn(Chunk("app.log", offset, rest[:end], "", modified=JUNE))
        rest, offset = rest[end:], offset + end
    return digest


def counts(digest: Digest) -> dict[str, int]:
    return {profile.pattern.text: profile.pattern.count for profile in digest.profiles.values()}


def sshd(second: int, message: str) -> str:
    return f"Jun  1 10:{second // 60:02}:{second % 60:02} nas sshd[{second + 1}]: {message}\n"


@pytest.mark.parametrize("size", [1 << 20, 200, 60])
def test_counts_and_values_are_the_same_for_chunks_of_any_size(size: int) -> None:
    text = "".join(sshd(n, f"Failed password for root from 10.0.0.{n % 3} port {n} ssh2") for n in range(60))
    digest = digest_of(text + sshd(61, "Server listening on :: port 22."), size=size)
    assert counts(digest) == {
        "Failed password for root from <*> port <*> <*>": 60,
        "Server listening on :: port <*>": 1,
    }
    profile = digest.profiles[1]
    assert profile.values[5].label == "from"
    assert profile.values[5].counts == {"10.0.0.0": 20, "10.0.0.1": 20, "10.0.0.2": 20}
    assert (profile.days, profile.history.count, profile.hosts.counts) == (1, 60, {"nas": 60})


def test_an_example_says_where_its_line_stands() -> None:
    lines = [sshd(n, f"Zugang für {n} gewährt") for n in range(50)]
    digest = digest_of("".join(lines), size=300)
    first, latest = digest.profiles[1].shown()[0], digest.profiles[1].latest
    assert (first.file, first.offset, first.line) == ("app.log", 0, lines[0].rstrip())
    assert latest is not None
    assert "".join(lines).encode()[latest.offset :].decode().rstrip() == lines[-1].rstrip() == latest.line


def test_a_message_that_was_repeated_counts_so_often() -> None:
    failed = "Failed password for root from 10.0.0.9 port 22 ssh2"
    digest = digest_of(
        sshd(1, failed)
        + sshd(2, f"message repeated 5 times: [ {failed}]")
        + sshd(3, "last message repeated 2 times")
        + sshd(4, "last message repeated 3 times")
    )
    assert counts(digest) == {"Failed password for root from <*> port <*> <*>": 11}
    assert digest.profiles[1].values[5].counts == {"10.0.0.9": 6}
    assert (digest.lines, digest.entries) == (4, 11)


def test_an_entry_of_many_lines_is_one() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 7, in run\n    go()\nValueError: no\n'
    digest = digest_of(f"2026-06-01 10:00:00 ERROR app: it broke\n{trace}2026-06-01 10:00:01 INFO app: fine\n")
    assert digest.lines == 6
    assert digest.entries == 2 or digest.entries == 3


def test_each_line_can_be_assigned_to_its_pattern() -> None:
    digest = digest_of(sshd(1, "one thing 1") + sshd(2, "another") + sshd(3, "one thing 2"), assignments=True)
    assert digest.assignments == [(1, "created"), (2, "created"), (1, None)]


def test_a_status_that_is_a_number_tells_two_patterns_apart() -> None:
    line = '10.0.0.9 - - [10/Oct/2025:13:55:36 -0700] "GET /a HTTP/1.1" {} 2326\n'
    digest = digest_of((line.format(200) * 3 + line.format(502)) * 2)
    levels = sorted((one.pattern.level, one.pattern.count) for one in digest.profiles.values())
    assert levels == [("error", 2), ("info", 6)]


def test_a_login_after_failures_from_the_same_address_is_a_break_in_and_no_other() -> None:
    failures = "".join(sshd(n, f"Failed password for root from 10.0.0.9 port {n} ssh2") for n in range(9))
    other = digest_of(failures + sshd(10, "Accepted password for bob from 10.0.0.8 port 22 ssh2"))
    before = digest_of(sshd(0, "Accepted password for bob from 10.0.0.9 port 22 ssh2") + failures)
    after = digest_of(failures + sshd(10, "Accepted password for bob from 10.0.0.9 port 22 ssh2"))
    assert other.logins.break_ins == before.logins.break_ins == []
    assert [(one.address, one.failures) for one in after.logins.break_ins] == [("10.0.0.9", 9)]
    finding = find(rank(after, SETTINGS), after.logins.break_ins)[0]
    assert (finding.event, finding.severity) == ("break-in", "critical")
    assert "10.0.0.9" in finding.summary


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the labelled logs are not here")
def test_nine_months_of_a_host_come_down_to_what_matters() -> None:
    log = LOGHUB / "Linux" / "Linux_full.log"
    digest = digest_of(log.read_text(errors="replace"))
    findings = find(rank(digest, SETTINGS), digest.logins.break_ins)
    said = {digest.profiles[one.pattern_id].pattern.text.split("(")[0]: one for one in findings}
    texts = " ".join(said)
    assert len(findings) <= 25
    assert said["Out of Memory: Killed process <*> "].count == 10_404
    assert "page allocation failure" in texts
    assert "authentication failure" in texts
    assert sum(digest.logins.failed.values()) >= 3934
    assert len(digest.logins.failed) >= 345
    assert "exited abnormally" not in texts
    assert "restart" not in texts
    assert all(one.event != "break-in" for one in findings)


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the labelled logs are not here")
def test_failed_logins_are_counted_with_their_sources() -> None:
    text = (LOGHUB / "OpenSSH" / "OpenSSH_2k.log").read_text(errors="replace")
    expected = Counter[str]()
    for line in text.splitlines():
        if found := re.search(r"Failed (?:password|none) for .* from (\S+) port", line):
            again = re.search(r"message repeated (\d+) times", line)
            expected[found[1]] += int(again[1]) if again else 1
    digest = digest_of(text)
    sources = Counter[str]()
    for profile in digest.profiles.values():
        if profile.pattern.text.startswith("Failed "):
            for values in profile.values.values():
                if values.label == "from":
                    sources.update(values.counts)
    assert sources == expected
    assert (len(sources), sources["183.62.140.253"], sources["187.141.143.180"]) == (24, 286, 80)
    assert digest.logins.break_ins == []


def test_a_chunk_that_spans_more_than_half_a_year_stays_in_its_years() -> None:
    text = "".join(
        f"{month}  3 04:00:00 nas cron[1]: job {month}\n" for month in ("Jan", "Apr", "Aug", "Dec", "Mar")
    )
    digest = digest_of(text)
    years = [moment(profile.history.first or 0).year for profile in digest.profiles.values()]
    assert [year - years[0] for year in years] == [0, 0, 0, 0, 1]
    assert [profile.history.last for profile in digest.profiles.values()] == [
        profile.history.first for profile in digest.profiles.values()
    ]
