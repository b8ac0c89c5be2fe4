"""`agentd logs scan`: files in, a report out, with and without a model."""

import gzip
import json
from pathlib import Path

import pytest

from agentd.paths import Paths
from tests.cli.conftest import Cli

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"
LINUX = LOGHUB / "Linux" / "Linux_full.log"
OPENSSH = LOGHUB / "OpenSSH" / "OpenSSH_2k.log"


@pytest.fixture
def storm(tmp_path: Path) -> Path:
    """A quiet day, and in its evening the memory is full."""
    log = tmp_path / "kern.log"
    quiet = [f"Jun  1 {n // 60:02}:{n % 60:02}:00 nas cron[{n}]: job {n} is done" for n in range(1200)]
    kills = [
        f"Jun  1 20:{n // 60:02}:{n % 60:02} nas kernel: Out of memory: Killed process {n} (web)"
        for n in range(90)
    ]
    log.write_text("\n".join(quiet + kills) + "\n")
    return log


@pytest.mark.usefixtures("paths")
def test_a_report_tells_what_how_often_when_and_where(cli: Cli, storm: Path) -> None:
    ran = cli("logs", "scan", "--no-model", storm)
    assert (ran.code, ran.err.strip()) == (0, "")
    assert ran.out.startswith("# kern.log: 1 ")
    assert "1,290 lines read in " in ran.out
    assert "`Out of memory: Killed process <*> (web)`" in ran.out
    assert "- What: 90 times" in ran.out
    offset = storm.read_bytes().index(b"Jun  1 20:00:00 nas kernel")
    assert f"{storm}, byte {offset:,}:\n      Jun  1 20:00:00 nas kernel: Out of memory" in ran.out
    assert "guess" not in ran.out


@pytest.mark.usefixtures("paths")
def test_json_has_every_pattern_the_worst_first(cli: Cli, storm: Path) -> None:
    found = cli("logs", "scan", "--no-model", "--json", storm).json
    assert (found["lines"], found["left_out"]) == (1290, 0)
    assert [one["count"] for one in found["patterns"]] == [90, 1200]
    assert found["patterns"][1]["pattern"] == "job <*> is done"
    (finding,) = found["findings"]
    assert finding["pattern_id"] == found["patterns"][0]["id"]
    assert sum(finding["parts"].values()) == finding["score"]
    text = storm.read_bytes()
    for example in finding["examples"]:
        assert text[example["offset"] :].decode().startswith(example["line"])


@pytest.mark.usefixtures("fake")
def test_a_model_explains_and_the_rest_stays(cli: Cli, storm: Path) -> None:
    told = cli("logs", "scan", storm)
    assert told.code == 0
    assert "- A model's guess: " in told.out
    assert "`Out of memory: Killed process <*> (web)`" in told.out


def test_without_its_model_the_report_is_told_all_the_same(cli: Cli, storm: Path, paths: Paths) -> None:
    paths.config.write_text("models:\n  main: {path: /no/such/model.gguf}\n")
    ran = cli("logs", "scan", storm)
    assert ran.code == 1
    assert "- What: 90 times" in ran.out
    assert "error: the findings are not explained: " in ran.err
    assert "next:  " in ran.err


@pytest.mark.usefixtures("paths")
def test_compressed_and_plain_files_are_read_in_the_order_of_their_times(cli: Cli, storm: Path) -> None:
    lines = storm.read_text().splitlines(keepends=True)
    older = storm.with_name("kern.log.1.gz")
    older.write_bytes(gzip.compress("".join(lines[:1000]).encode()))
    storm.write_text("".join(lines[1000:]))
    found = cli("logs", "scan", "--no-model", "--json", storm, older).json
    assert found["lines"] == 1290
    assert [one["count"] for one in found["findings"]] == [90]
    assert found["patterns"][1]["example"].endswith("job 0 is done")


@pytest.mark.usefixtures("paths")
def test_each_line_is_assigned_to_its_pattern(cli: Cli, storm: Path, tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    found = cli("logs", "scan", "--no-model", "--json", "--assignments", out, storm).json
    rows = [json.loads(row) for row in out.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(1, 1291))
    assert {row["pattern_id"] for row in rows} == {one["id"] for one in found["patterns"]}
    assert [row["line"] for row in rows if row["event"] == "created"] == [1, 1201]


@pytest.mark.usefixtures("paths")
def test_nothing_to_report_is_said(cli: Cli, tmp_path: Path) -> None:
    log = tmp_path / "calm.log"
    log.write_text("".join(f"2026-06-01 10:{n:02}:00 INFO ping {n}\n" for n in range(60)))
    assert cli("logs", "scan", "--no-model", log).out.startswith("# calm.log: nothing to report\n")


@pytest.mark.usefixtures("paths")
def test_what_cannot_be_read_is_named_and_the_rest_is_done(cli: Cli, storm: Path, tmp_path: Path) -> None:
    binary = tmp_path / "core"
    binary.write_bytes(bytes(range(1, 256)) * 64)
    ran = cli("logs", "scan", "--no-model", binary, tmp_path / "none.log", storm)
    assert ran.code == 1
    assert "- What: 90 times" in ran.out
    assert f"error: {binary} is not text" in ran.err.replace("\n", " ")
    assert "none.log is gone" in ran.err
    alone = cli("logs", "scan", tmp_path / "none.log")
    assert (alone.code, alone.out) == (1, "")


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--entries", "nonsense"], 4, "nonsense"),
        (["--format", "("], 4, "is not a regular expression"),
        (["--encoding", "klingon"], 2, "klingon"),
        (["--assignments", "x", "second.log"], 2, "give one"),
    ],
)
def test_wrong_words_are_told(cli: Cli, storm: Path, words: list[str], code: int, said: str) -> None:
    ran = cli("logs", "scan", "--no-model", *words, storm)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


@pytest.mark.usefixtures("paths")
@pytest.mark.skipif(not LINUX.exists(), reason="the public logs are not here")
def test_months_of_a_host_become_a_few_findings(cli: Cli) -> None:
    found = cli("logs", "scan", "--no-model", "--json", LINUX).json
    findings = found["findings"]
    assert len(findings) <= 25
    titles = " | ".join(one["pattern"] for one in findings)
    assert "Out of Memory: Killed process" in titles
    assert "page allocation failure" in titles
    assert "authentication failure" in titles
    assert "ALERT exited abnormally" not in titles
    assert "restart" not in titles
    kills = next(one for one in findings if "Out of Memory" in one["pattern"])
    lines = LINUX.read_bytes().count(b"Out of Memory: Killed process")
    assert kills["count"] == lines


@pytest.mark.usefixtures("paths")
@pytest.mark.skipif(not OPENSSH.exists(), reason="the public logs are not here")
def test_failed_logins_are_reported_and_nobody_is_said_to_be_in(cli: Cli) -> None:
    ran = cli("logs", "scan", "--no-model", OPENSSH)
    assert "183.62.140.253" in ran.out
    assert "POSSIBLE BREAK-IN ATTEMPT" in ran.out
    assert "proven" not in ran.out
    assert "fztu" not in ran.out
