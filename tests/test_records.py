import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.records import Coverage, Document, JobState, path_of, source_of, timestamp

NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name and b"\0" not in name)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@settings(max_examples=50)
@given(NAMES)
def test_a_path_of_any_bytes_becomes_text_and_back(name: bytes) -> None:
    path = Path(os.fsdecode(b"/notes/" + name))
    source = source_of(path)
    source.encode()
    assert path_of(source) == path


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/notes/a b%41.md", "/notes/a b%41.md"),
        ("/notes/a\nb.md", "/notes/a\nb.md"),
        ("/notes/caf\udce9.md", "file:///notes/caf%E9.md"),
    ],
)
def test_a_source_is_the_path_unless_it_is_not_utf8(path: str, source: str) -> None:
    assert source_of(Path(path)) == source


@settings(max_examples=50)
@given(MOMENTS, MOMENTS)
def test_times_sort_as_text(one: datetime, other: datetime) -> None:
    if timestamp(one) != timestamp(other):
        assert (timestamp(one) < timestamp(other)) == (one < other)


def test_a_time_is_utc_with_milliseconds() -> None:
    berlin = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 5, 4, 5, 2, 1, 999_999, berlin)) == "2026-05-04T03:02:01.999Z"


def test_final_states_are_those_that_nothing_leaves_by_itself() -> None:
    assert {state for state in JobState if not state.final} == {JobState.QUEUED, JobState.RUNNING}


def test_a_coverage_reads_well() -> None:
    assert str(Coverage(1200, 1200)) == "1,200/1,200 lines"


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\n\nb", 3)])
def test_a_document_counts_its_lines(text: str, lines: int) -> None:
    assert Document("/a", "0", text).lines == lines
