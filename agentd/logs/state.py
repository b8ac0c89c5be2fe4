"""Where a finding stands, told from when it came. Pure."""

from datetime import datetime, timedelta

STATES = ("new", "ongoing", "quiet", "resolved", "muted")
# Whoever looks once a day sees everything as new once.
NEW = timedelta(days=1)
QUIET = timedelta(days=1)
RESOLVED = timedelta(days=7)


def state_of(
    event: str, found: datetime, last: datetime | None, updated: datetime, now: datetime, *, muted: bool
) -> str:
    """One of STATES.

    `last` is when it last came by the log, `updated` when it was last judged: what counts in a log without times.
    What went silent is no less wrong for being quiet.
    """
    if muted:
        return "muted"
    quiet = timedelta() if event == "silence" else now - (last or updated)
    if quiet >= RESOLVED:
        return "resolved"
    if quiet >= QUIET:
        return "quiet"
    return "new" if now - found < NEW else "ongoing"
