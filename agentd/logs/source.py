"""One log that is followed: what is read of it becomes deltas, each to be committed before the next is asked for.

Two clocks meet here: that of the wall, by which work is spread, and that of the log, by which news is judged. Who
commits, and the models, are not known here.
"""

import os
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agentd.errors import AgentdError
from agentd.logs.chunk import Chunk
from agentd.logs.digest import Changes, Digest
from agentd.logs.entries import Rule, rule
from agentd.logs.findings import MAX_FINDINGS, Finding, find, judge_profile, rank
from agentd.logs.follow import FileFollower
from agentd.logs.history import DAY
from agentd.logs.journald import JournalFollower
from agentd.logs.patterns import Ids
from agentd.logs.saved import delta, restore, was_begun
from agentd.logs.settings import JOURNAL_START, LogSettings
from agentd.records import Mark
from agentd.store.logs import Delta, Saved

# All patterns are judged so often at most, in seconds, and never for more than this share of the time; a log in
# which nothing happens is judged too, because silence is news.
_JUDGED_EVERY = 2.0
_JUDGING_SHARE = 0.05
_JUDGED_IDLE = 60.0


class LogSource:
    """A log, and what is known of it. Where a delta could not be committed, it is of no use any more."""

    def __init__(self, settings: LogSettings, saved: Saved | None, ids: Ids) -> None:
        self.name = settings.source
        self._settings = settings
        self._ids = ids
        self._begun = was_begun(saved)
        self._cursor = saved.cursor if saved else ""
        entries = rule(
            "indent" if settings.journald is not None and settings.entries == "auto" else settings.entries
        )
        zone = zoneinfo.ZoneInfo(settings.timezone) if settings.timezone else None
        self._digest = Digest(entries, settings.news, custom=settings.format, zone=zone, ids=ids)
        if saved:
            restore(self._digest, saved)
        self._digest.changes = Changes()
        self._told: dict[str, Finding] = {}  # by key, as they were last sent
        self._judged = 0.0  # when all patterns were last judged
        self._next_judging = 0.0
        self._unjudged = False
        self._idle: Delta | None = None  # what was last learned from nothing being written
        self._follower: FileFollower | JournalFollower
        if settings.journald is None:
            self._follower = self._files(entries, saved.marks if saved else ())
        else:
            self._follower = self._journal()

    @property
    def problems(self) -> list[AgentdError]:
        """Why some of it cannot be read now."""
        if isinstance(self._follower, FileFollower):
            return list(self._follower.problems.values())
        return [self._follower.problem] if self._follower.problem else []

    def fileno(self) -> int | None:
        """What becomes readable when there is something to poll for, where there is such a thing."""
        return self._follower.fileno() if isinstance(self._follower, JournalFollower) else None

    def poll(self) -> Iterator[Delta]:
        """What was written since the last time."""
        for chunk in self._follower.poll():
            if chunk.data:
                self._digest.learn(chunk)
                self._unjudged = True
            yield self._delta(chunk)
        gone = self._follower.take_gone() if isinstance(self._follower, FileFollower) else []
        first, self._begun = not self._begun, True
        if gone or first:
            yield self._delta(gone=gone)
        elif self._is_due() and (judged := self._delta()) != self._idle:
            # What says nothing new is not committed: a log that stands still costs no write.
            self._idle = judged
            yield judged

    def close(self) -> None:
        """Close what is open."""
        self._follower.close()

    def _delta(self, chunk: Chunk | None = None, gone: list[Mark] | None = None) -> Delta:
        digest = self._digest
        changes, digest.changes = digest.changes or Changes(), Changes()
        if chunk and isinstance(chunk.mark, str):
            self._cursor = chunk.mark
        now = self._now()
        news = self._settings.news
        judged = {
            number: judge_profile(digest.profiles[number], digest, news, now)
            for number in changes.patterns
            if number in digest.profiles
        }
        found = self._find(now) if self._is_due() else []
        return delta(
            *(self.name, digest, changes, judged, found, self._ids.next),
            cursor=self._cursor,
            chunk=chunk,
            gone=gone or (),
            begun=self._begun,
        )

    def _now(self) -> int:
        """The minute that the log is judged in: a log that is old or stands still is judged by its own end."""
        wall = int(time.time() // 60)
        latest = self._digest.latest
        return wall if latest is None or latest < wall < latest + DAY else latest

    def _is_due(self) -> bool:
        now = time.monotonic()
        return now >= self._next_judging and (self._unjudged or now - self._judged >= _JUDGED_IDLE)

    def _find(self, now: int) -> list[Finding]:
        """The findings that are not as they were last sent."""
        began = time.monotonic()
        ranked = rank(self._digest, self._settings.news, now)
        found = find(ranked, self._digest.logins.break_ins)[:MAX_FINDINGS]
        changed = [finding for finding in found if self._told.get(finding.key) != finding]
        self._told = {finding.key: finding for finding in found}
        self._judged = time.monotonic()
        self._next_judging = self._judged + max(_JUDGED_EVERY, (self._judged - began) / _JUDGING_SHARE)
        self._unjudged = False
        return changed

    def _files(self, entries: Rule, marks: tuple[Mark, ...]) -> FileFollower:
        settings = self._settings
        start: Literal["end", "beginning"] | datetime
        if isinstance(settings.start, float):
            start = datetime.fromtimestamp(time.time() - settings.start, UTC)
        else:
            start = settings.start or "end"
        return FileFollower(
            [os.fspath(settings.path or Path())],
            start=start,
            boundary=entries.boundary,
            first_time=not self._begun,
            encoding=settings.encoding,
            marks=marks,
        )

    def _journal(self) -> JournalFollower:
        picked, start = self._settings.journald, self._settings.start
        assert picked is not None
        since = start if isinstance(start, float) else None if start == "end" else JOURNAL_START
        return JournalFollower(
            since=since,
            cursor=self._cursor or None,
            units=picked.units,
            identifiers=picked.identifiers,
            priority=picked.priority,
        )
