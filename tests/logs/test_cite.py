import gzip
from pathlib import Path

import pytest

from agentd.logs.cite import Cited, cite
from agentd.logs.profile import Example


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "app[1].log"
    file.write_text("one\ntwo is here\nthree\n")
    return file


def test_a_line_is_read_where_it_stands(log: Path) -> None:
    assert cite(Example(str(log), 4, "two is here")) == Cited(f"{log}, byte 4", "two is here", kept=False)


def test_more_than_was_kept_is_shown(log: Path) -> None:
    assert cite(Example(str(log), 4, "two")).line == "two is here"


def test_a_log_that_was_rotated_is_found(log: Path) -> None:
    old = log.with_name("app[1].log.2.gz")
    old.write_bytes(gzip.compress(log.read_bytes()))
    log.write_text("something else altogether\n")
    assert cite(Example(str(log), 4, "two is here")) == Cited(f"{old}, byte 4", "two is here", kept=False)


def test_what_stands_nowhere_any_more_is_told_as_it_was(log: Path) -> None:
    log.unlink()
    assert cite(Example(str(log), 4, "two is here")) == Cited(f"{log}, byte 4", "two is here", kept=True)


def test_an_entry_of_the_journal_that_is_gone_is_told_as_it_was() -> None:
    assert cite(Example("journal s=no;i=such", 0, "it said so")) == Cited("journal", "it said so", kept=True)
