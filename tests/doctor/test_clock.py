from datetime import UTC, datetime, timedelta

import pytest

from agentd.doctor import clock
from agentd.doctor.clock import check_clock, check_zone, synchronised
from agentd.store import queue
from agentd.store.database import Store
from tests.doctor.conftest import FindHome, levels, told
from tests.making import make_event


@pytest.mark.parametrize(("kept", "level"), [(True, "ok"), (False, "warning"), (None, "ok")])
def test_a_clock_that_nothing_keeps_right_is_a_warning(
    find: FindHome, monkeypatch: pytest.MonkeyPatch, kept: bool | None, level: str
) -> None:
    monkeypatch.setattr(clock, "synchronised", lambda: kept)
    assert levels(check_clock(find())) == {"clock": level}


@pytest.mark.parametrize("year", [1970, 2200])
def test_a_clock_that_cannot_be_right_is_an_error(find: FindHome, year: int) -> None:
    level, words, _ = told(check_clock(find(now=datetime(year, 1, 1, tzinfo=UTC))))["clock"]
    assert (level, "which cannot be" in words) == ("error", True)


def test_a_clock_that_was_set_back_behind_the_newest_job_is_a_warning(
    find: FindHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "synchronised", lambda: True)
    home = find()
    store = Store(home.paths.database)
    queue.add(store._db, make_event(), "hash", "main", home.now + timedelta(minutes=30))
    assert levels(check_clock(home)) == {"clock": "ok"}
    queue.add(store._db, make_event("/b.md"), "hash", "main", home.now + timedelta(days=2))
    store.close()
    level, words, _ = told(check_clock(home))["clock"]
    assert (level, "it was set back" in words) == ("warning", True)


def test_the_kernel_tells_whether_the_clock_is_kept_or_nothing_at_all() -> None:
    assert synchronised() in (True, False, None)


def test_a_zone_that_does_not_exist_is_a_warning(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert levels(check_zone(find())) == {"time zone": "ok"}
    monkeypatch.setenv("TZ", "Europe/Nowhere")
    assert told(check_zone(find()))["time zone"][0] == "warning"


def test_a_machine_without_time_zones_is_an_error(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ZONE", "Europe/Nowhere")
    assert levels(check_zone(find())) == {"time zone": "error"}
