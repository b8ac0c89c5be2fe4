"""What becomes of a job after an error: pure policy, applied by `queue.fail`.

Bad input, a refusal or an invalid answer is not tried again: the same input gives the same answer. What the
machine did (an engine crash, a time-out, a locked database) is tried again later, and taken out after
MAX_ATTEMPTS tries or MAX_CRASHES crashes of the engine, so that one poison job cannot starve the rest.
"""

from dataclasses import dataclass
from datetime import timedelta

from agentd.errors import AgentdError, Cancelled, EngineCrashed, Superseded
from agentd.records import Job, JobState

MAX_ATTEMPTS = 5
MAX_CRASHES = 3
FIRST_DELAY = 5.0  # seconds; doubled each time
LAST_DELAY = 3600.0
JITTER = 0.25  # share of the delay that is added at random, so that failures do not come back together
LONGEST = timedelta(seconds=LAST_DELAY * (1 + JITTER))  # that anything waits for its next try


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state, and how long to wait where that is `queued`."""

    state: JobState
    delay: float = 0.0  # seconds


def judge(job: Job, error: AgentdError, chance: float) -> Verdict:
    """The verdict on `job`, whose attempts include this try. `chance` is a random number in [0, 1)."""
    if isinstance(error, (Superseded, Cancelled)):
        return Verdict(JobState.CANCELLED)
    if not error.retryable:
        return Verdict(JobState.FAILED)
    crashes = job.crashes + isinstance(error, EngineCrashed)
    if crashes >= MAX_CRASHES or job.attempts >= MAX_ATTEMPTS:
        return Verdict(JobState.QUARANTINED)
    return Verdict(JobState.QUEUED, backoff(job.attempts, chance))


def backoff(attempts: int, chance: float) -> float:
    """Seconds to wait after so many tries. `chance` is a random number in [0, 1)."""
    delay: float = min(FIRST_DELAY * 2 ** max(attempts - 1, 0), LAST_DELAY)
    return delay * (1 + JITTER * chance)
