"""The clock and the time zone, on which schedules, leases and the times of logs rest."""

import ctypes
import os
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import agentd
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.errors import StoreError
from agentd.store.inspect import reading

_AHEAD = timedelta(hours=1)  # that stored times may be ahead of the clock
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # more than any `struct timex`
_ZONE = "Europe/Berlin"  # any that every list of zones has


def check_clock(home: Home) -> Iterator[Diagnosis]:
    """Whether the clock can be right, and whether something keeps it right."""
    hint = "sudo timedatectl set-ntp true" if sys.platform == "linux" else "sudo sntp -sS time.apple.com"
    shown = f"{home.now:%Y-%m-%d %H:%M:%S} UTC"
    installed = datetime.fromtimestamp(Path(agentd.__file__).stat().st_mtime, UTC)
    if home.now < installed - timedelta(days=1) or home.now > _LATEST:
        yield error("clock", f"it says {shown}, which cannot be", hint)
        return
    newest = _newest_job(home)
    if newest and newest > home.now + _AHEAD:
        told = f"it says {shown}, and the newest job is of {newest:%Y-%m-%d %H:%M} UTC: it was set back"
        yield warning("clock", told, hint)
    elif synchronised() is False:
        yield warning("clock", f"{shown}; nothing keeps it right (not synchronised)", hint)
    else:
        yield ok("clock", f"{shown}{', synchronised' if synchronised() else ''}")


def check_zone(home: Home) -> Iterator[Diagnosis]:
    """Whether zones can be found by name, and the one of this machine is one."""
    try:
        zoneinfo.ZoneInfo(_ZONE)
    except zoneinfo.ZoneInfoNotFoundError:
        told = "no time zones are installed, so none can be found by its name"
        yield error("time zone", told, "sudo apt install tzdata, or pip install tzdata")
        return
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/"):
        try:
            zoneinfo.ZoneInfo(named)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            told = f"TZ is {named!r}, which is no zone's name; times are shown in UTC"
            yield warning("time zone", told, "unset TZ, or export TZ=Europe/Berlin")
            return
    here = home.now.astimezone()
    yield ok("time zone", f"{here.tzname()}, {here:%z} from UTC")


def synchronised() -> bool | None:
    """Whether the kernel knows the clock to be kept right; None where it does not tell."""
    if sys.platform != "linux":
        return None
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: nothing is set
    return None if state < 0 else state != _UNSYNCHRONISED


def _newest_job(home: Home) -> datetime | None:
    if not home.paths.database.exists():
        return None
    try:
        with reading(home.paths.database) as db:
            row = next(iter(db.query("SELECT max(created) AS newest FROM jobs")))
    except StoreError:
        return None  # the database's own diagnosis says what is wrong with it
    return datetime.fromisoformat(row["newest"]) if row["newest"] else None
