from datetime import UTC, datetime, timedelta

import pytest

from agentd.logs.state import state_of

NOW = datetime(2026, 6, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "found", "last", "state"),
    [
        ("burst", 2, 1, "new"),
        ("burst", 48, 1, "ongoing"),
        ("burst", 48, 30, "quiet"),
        ("new", 300, 200, "resolved"),
        ("new", 1, 200, "resolved"),  # found today in an old log
        ("silence", 48, 400, "ongoing"),
        ("silence", 2, 400, "new"),
        ("new", 2, None, "new"),
    ],
)
def test_a_state_is_told_from_times(event: str, found: int, last: int | None, state: str) -> None:
    came = None if last is None else NOW - timedelta(hours=last)
    when = NOW - timedelta(hours=found)
    assert state_of(event, when, came, NOW, NOW, muted=False) == state
    assert state_of(event, when, came, NOW, NOW, muted=True) == "muted"
