"""The whole policy as a table."""

import pytest

from agentd.errors import (
    AgentdError,
    BrokenTask,
    Cancelled,
    EmptyInput,
    EngineCrashed,
    EngineTimeout,
    InternalError,
    InvalidOutput,
    StoreBusy,
    Superseded,
    TooLong,
    Vanished,
)
from agentd.records import Job, JobState, Priority
from agentd.store.retry import Verdict, judge

QUEUED, FAILED = JobState.QUEUED, JobState.FAILED
QUARANTINED, CANCELLED = JobState.QUARANTINED, JobState.CANCELLED


@pytest.mark.parametrize(
    ("error", "attempts", "crashes", "state", "delay"),
    [
        (EmptyInput(), 1, 0, FAILED, 0),
        (Vanished(), 1, 0, FAILED, 0),
        (TooLong(), 1, 0, FAILED, 0),
        (InvalidOutput(), 1, 0, FAILED, 0),
        (BrokenTask(), 1, 0, FAILED, 0),
        (Superseded(), 1, 0, CANCELLED, 0),
        (Cancelled(), 1, 0, CANCELLED, 0),
        (EngineTimeout(), 1, 0, QUEUED, 5),
        (EngineTimeout(), 2, 0, QUEUED, 10),
        (StoreBusy(), 3, 0, QUEUED, 20),
        (InternalError(), 4, 0, QUEUED, 40),
        (EngineTimeout(), 5, 0, QUARANTINED, 0),
        (EngineCrashed(), 1, 0, QUEUED, 5),
        (EngineCrashed(), 2, 1, QUEUED, 10),
        (EngineCrashed(), 3, 2, QUARANTINED, 0),
        # A crash that came before counts for nothing once the error is another one.
        (EngineTimeout(), 3, 2, QUEUED, 20),
    ],
)
def test_the_error_and_the_counts_decide(
    error: AgentdError, attempts: int, crashes: int, state: JobState, delay: float
) -> None:
    assert judge(job(attempts, crashes), error, 0.0) == Verdict(state, delay)


def test_chance_only_adds_to_the_delay() -> None:
    assert judge(job(1), EngineTimeout(), 0.999).delay == pytest.approx(5 * 1.25, rel=0.01)


@pytest.mark.parametrize("attempts", range(1, 5))
def test_the_delay_never_exceeds_its_cap(attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentd.store.retry.LAST_DELAY", 12.0)
    assert judge(job(attempts), EngineTimeout(), 0.0).delay <= 12.0


def job(attempts: int, crashes: int = 0) -> Job:
    return Job(
        *(1, "tag", "hash", "main", "/a", "0" * 64, "", Priority.TRIGGERED, JobState.RUNNING),
        attempts=attempts,
        crashes=crashes,
        **dict.fromkeys(("reason", "error", "hint", "started", "finished")),
        created="",
        not_before="",
    )
