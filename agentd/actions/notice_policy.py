"""When notices are told: at once, together with what follows, or later. Pure: time and zone are passed in.

Quiet hours go by the clock on the wall, so that a change of the clocks makes them shorter or longer as it does the
night. Spans go by absolute time; a clock that was set back delays nothing by more than the span itself. Where a
notice goes and what it says is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from agentd.actions.notify_settings import NotifySettings
from agentd.hours import Hours


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a message waits, and until when."""

    why: str  # "quiet hours", "at most 6 per hour", "more may come"
    until: datetime


def hold(
    settings: NotifySettings,
    oldest: datetime,
    sent: Sequence[datetime],
    now: datetime,
    zone: tzinfo | None = None,
) -> Hold | None:
    """Why a place is not told yet; None where it is to be told now, everything in one message.

    `oldest` is when the first of its notices came, `sent` when its last messages went out. All are aware; the
    quiet hours are those of `zone`, or of this machine.
    """
    if settings.quiet_hours and (until := quiet_until(settings.quiet_hours, now, zone)):
        return Hold("quiet hours", until)
    span = timedelta(seconds=settings.at_most.seconds)
    recent = sorted(moment for moment in sent if abs(now - moment) < span)
    if len(recent) >= settings.at_most.count:
        return Hold(f"at most {settings.at_most}", recent[-settings.at_most.count] + span)
    group = timedelta(seconds=settings.group)
    if timedelta() <= now - oldest < group:
        return Hold("more may come", oldest + group)
    return None


def quiet_until(hours: Hours, now: datetime, zone: tzinfo | None = None) -> datetime | None:
    """When the quiet hours end, at the latest, in which `now` lies; None where it lies in none."""
    local = now.astimezone(zone)
    if local.time() not in hours:
        return None
    day = local.date()
    if hours.begin > hours.end and local.time() >= hours.begin:
        day += timedelta(days=1)
    # A clock that is set back reads the same time twice. One without a zone is this machine's.
    ends = (datetime.combine(day, hours.end.replace(fold=fold), tzinfo=zone).astimezone(UTC) for fold in (0, 1))
    return next((end for end in ends if end > now), now)
