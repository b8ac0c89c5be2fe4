"""What is remarkable about a pattern: new, changed, burst, silence, rare, returned. Pure.

Everything is judged by the pattern's own past (`History`) and by how surprising such a thing is in this log. A
pattern that comes like clockwork is regular, and its coming is no news. How bad news is, `severity` knows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from agentd.config import Duration, Section
from agentd.logs.history import DAY, WINDOW, Burst, History

# A heartbeat deviates by so little from its usual pause; what comes by chance deviates by all of it.
STEADY = 0.35


class NewsSettings(Section):
    """When something counts as news. The defaults need no tuning."""

    warm_up: Duration = Field(
        24 * 3600.0,
        description="How much of a log's time is learned before anything in it is news.",
        json_schema_extra={"default": "1d"},
    )
    burst_factor: float = Field(6.0, gt=1, description="A burst is so many times the usual rate.")
    burst_count: int = Field(10, ge=2, description="A burst has at least so many entries in ten minutes.")
    silence_factor: float = Field(
        6.0, gt=1, description="A regular pattern is silent after so many times its usual pause."
    )
    silence_visits: int = Field(20, ge=3, description="A pattern is regular once it came in so many minutes.")
    return_after: Duration = Field(
        7 * 24 * 3600.0,
        description="A pattern that was away for so long has returned.",
        json_schema_extra={"default": "7d"},
    )
    rare_share: float = Field(0.001, gt=0, lt=1, description="A rare pattern has at most this share of a log.")


@dataclass(frozen=True, slots=True)
class News:
    """One remarkable thing about one pattern."""

    kind: str  # new, changed, burst, silence, rare or returned
    minute: int | None
    surprise: float  # 0 to 1
    text: str  # for people


def is_regular(history: History) -> bool:
    """Whether it comes once in a whole number of days, as a nightly job does."""
    return (
        history.visits >= 5
        and history.punctual >= 0.8 * (history.visits - 1)
        and history.in_visit <= 3 * max(history.largest_visit, 1)
    )


def surprise_of_new(singles: int, entries: int) -> float:
    """How surprising one more new pattern is: 0 where every entry is one, 1 where one in 10,000 is.

    The chance of something unseen is estimated by the share of what was seen once (Good and Turing).
    """
    chance = (singles + 1) / (entries + 1)
    return min(1.0, max(0.0, -math.log10(chance) / 4))


def find_burst(history: History, settings: NewsSettings) -> Burst | None:
    """The open window, where it holds far more than the windows before it did."""
    usual, count = history.windows, history.in_window
    if usual.n < 3 or count < settings.burst_count:
        return None
    if count < settings.burst_factor * usual.mean or count < settings.burst_factor / 2 * usual.peak:
        return None
    if count < usual.mean + 4 * usual.deviation:
        return None
    return Burst(history.window * WINDOW, count, round(usual.mean, 1))


def find_silence(
    history: History, now: int | None, settings: NewsSettings, pauses: Sequence[tuple[int, int]] = ()
) -> News | None:
    """News of a pattern that used to come at regular pauses, and does not any more.

    In its `pauses`, (from, to) in minutes, the whole log was silent: a machine that was off says nothing of one
    pattern.
    """
    gaps = history.gaps
    if now is None or history.last is None or gaps.n < settings.silence_visits:
        return None
    steady = gaps.deviation <= STEADY * gaps.mean and gaps.peak <= settings.silence_factor * gaps.mean
    last = history.last
    quiet = now - last - sum(end - start for start, end in pauses if start >= last)
    if not steady or quiet <= max(settings.silence_factor * gaps.mean, 5):
        return None
    text = f"came every {_span(gaps.mean)}, then nothing for {_span(quiet)}"
    return News("silence", history.last, 1.0, text)


def find_return(history: History, settings: NewsSettings) -> News | None:
    """News of a pattern that came back after it was away far longer than ever before."""
    if history.returned * 60 < settings.return_after or history.visits > 10:
        return None
    return News("returned", history.returned_at, 0.5, f"came back after {_span(history.returned)}")


def find_rare(count: int, entries: int, settings: NewsSettings) -> News | None:
    """News of a pattern that hardly any entry of a large log has."""
    share = count / max(entries, 1)
    if count > 3 or share > settings.rare_share:
        return None
    return News("rare", None, 0.3, f"{count} of {entries:,} entries")


def burst_news(burst: Burst) -> News:
    """News of a burst."""
    times = burst.count / max(burst.usual, 0.1)
    surprise = min(1.0, math.log10(max(times, 1)))  # all of it at 10 times
    text = f"{burst.count:,} in {WINDOW} min, {times:.0f} times as many as usual"
    return News("burst", burst.minute, surprise, text)


def _span(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2 * DAY else f"{minutes / DAY:.0f} days"
