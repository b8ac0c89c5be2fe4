"""Reads chunks of one source's logs into patterns and profiles, as fast as they can be read.

Most lines differ from one seen before in numbers alone. So whole chunks are turned into keys at once, with their
numbers replaced by 0; a header is parsed and the miner asked only for a key that is new, and counts are made per
key. Where chunks come from, what is remarkable and the database are not known here.
"""

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from agentd.logs.chunk import Chunk
from agentd.logs.entries import Rule
from agentd.logs.headers import Format, Header, recognise
from agentd.logs.history import WINDOW
from agentd.logs.logins import Logins, kind_of
from agentd.logs.news import NewsSettings, surprise_of_new
from agentd.logs.patterns import WILDCARD, Ids, Miner, Pattern, Words, split_words
from agentd.logs.piece import Piece, keys_of
from agentd.logs.profile import Profile
from agentd.logs.slots import NUMBER, Slot, label_before, plan_slots, values_of
from agentd.logs.times import Clock, first_year
from agentd.logs.variables import KEPT_VALUES, Values, bare

# In a key, what says that a message came again: how often is told by the line.
_AGAIN = re.compile(r"message repeated 0 times?")
_MOST_ROUTES = 16_384
SAMPLE_LINES = 100
MAX_FILES = 500  # whose way of writing is remembered
# Minutes in which a whole log said nothing; the last so many of them are kept.
_PAUSE = 60
_MOST_PAUSES = 200
# So often a pattern's values are counted on every line; from then on, on one in SPARSE.
_ALL_VALUES = 8192
_MOST_VALUES = 200_000
_CHUNKS_TO_WEIGH = 16
_SPARSE = 16


@dataclass(slots=True)
class _Route:
    """What a key leads to."""

    pattern: Pattern
    header: Header
    words: Words  # of the pattern when the slots were planned
    slots: list[Slot]
    login: str | None  # see `logins.kind_of`


@dataclass(slots=True)
class LogFile:
    """What is known about the way one file is written."""

    sample: list[str]  # its first entries, by which the format is recognised
    format: Format
    clock: Clock
    last: Pattern | None = None  # of the entry before this chunk


@dataclass(slots=True)
class Changes:
    """What learning changed, for whoever stores it."""

    patterns: set[int] = field(default_factory=set)
    buckets: Counter[tuple[int, int]] = field(default_factory=Counter)  # by pattern and minute, a multiple of 10
    merged: list[tuple[int, int]] = field(default_factory=list)  # (id that is gone, id it is now)
    dropped: list[int] = field(default_factory=list)


class Digest:
    """What was learned from one source."""

    def __init__(
        self,
        rule: Rule,
        settings: NewsSettings,
        *,
        custom: str | None = None,
        zone: tzinfo | None = None,
        keep_assignments: bool = False,
        ids: Ids | None = None,
    ) -> None:
        self.miner = Miner(ids)
        self.profiles: dict[int, Profile] = {}
        self.logins = Logins()
        self.lines = 0
        self.entries = 0
        self.folded_entries = 0
        self.first: int | None = None  # minute of the log
        self.latest: int | None = None
        self.pauses: deque[tuple[int, int]] = deque(maxlen=_MOST_PAUSES)  # of the whole log: minutes, from and to
        self.merged: dict[int, int] = {}
        self.assignments: list[tuple[int, str | None]] | None = [] if keep_assignments else None
        self.singles = 0  # patterns that came once
        self.files: dict[str, LogFile] = {}
        self.changes: Changes | None = None  # set it, and they are noted
        self._rule = rule
        self._settings = settings
        self.custom = custom
        self._chunks = 0
        self._zone = zone
        self._routes: dict[str, _Route] = {}

    def learn(self, chunk: Chunk) -> None:
        """Take one chunk into account. Raises ConfigError for a format regex that cannot be used."""
        piece = Piece(chunk, self._rule)
        if not piece.heads:
            return
        file = self._file(chunk, piece)
        self.lines += piece.lines
        keys = keys_of(piece.heads, file.format)
        stamps = file.format.stamps(piece.heads)
        # In the order of the log, which tells the years that stamps lack.
        minutes = {stamp: file.clock.minute(stamp) for stamp in dict.fromkeys(stamps)}
        times = [minutes[stamp] for stamp in stamps]
        self._note_time(sorted({minute for minute in minutes.values() if minute is not None}))
        groups: dict[str, list[int]] = {}
        for entry, key in enumerate(keys):
            groups.setdefault(key, []).append(entry)
        events: dict[int, str] = {}
        patterns: dict[str, Pattern] = {}
        again: list[int] = []
        for key, group in groups.items():
            if _AGAIN.search(key):
                again.extend(group)
                continue
            patterns[key] = self._take(key, group, piece, file, times, events)
        for (key, minute), count in Counter(zip(keys, times, strict=True)).items():
            if key in patterns:
                self._count(patterns[key], minute, count)
        expanded = self._expand(sorted(again), keys, patterns, piece, file, times, events)
        self.logins.settle(piece.example)
        found = [expanded.get(entry) or patterns.get(key) for entry, key in enumerate(keys)]
        file.last = found[-1]
        if self.assignments is not None:
            self._assign(piece, found, events)
        self._chunks += 1
        if self._chunks % _CHUNKS_TO_WEIGH == 0:
            self._bound_values()

    def resolve(self, pattern_id: int) -> int:
        """The id that a pattern has now, if it merged into another."""
        while pattern_id in self.merged:
            pattern_id = self.merged[pattern_id]
        return pattern_id

    def clock(self, latest: float, year: int | None = None) -> Clock:
        """What reads the stamps of one file of this source: see `Clock`."""
        return Clock(latest, year, self._zone)

    def _file(self, chunk: Chunk, piece: Piece) -> LogFile:
        file = self.files.pop(chunk.source, None)
        if file is None or chunk.offset == 0:
            path = Path(chunk.source)
            year = first_year(path, chunk.modified) if chunk.offset == 0 and path.is_file() else None
            file = LogFile([], recognise([], self.custom), self.clock(chunk.modified, year))
        self.files[chunk.source] = file  # the last that was read is the last
        if len(self.files) > MAX_FILES:
            del self.files[next(iter(self.files))]
        if len(file.sample) < SAMPLE_LINES:
            # A log that begins with one odd line is known by those that follow.
            file.sample += piece.heads[: SAMPLE_LINES - len(file.sample)]
            file.format = recognise(file.sample, self.custom)
        file.clock.latest = max(file.clock.latest, chunk.modified)
        return file

    def _take(
        self,
        key: str,
        group: list[int],
        piece: Piece,
        file: LogFile,
        times: list[int | None],
        events: dict[int, str],
    ) -> Pattern:
        """Lead the entries of one key to their pattern, and note their values and examples."""
        line = piece.heads[group[0]]
        route = self._routes.get(key)
        if route is None or self.miner.patterns.get(route.pattern.id) is not route.pattern:
            header = file.format.parse(line) or _bare_header(line)
            pattern, event = self._learn(header, times[group[0]])
            if event is not None:
                events[group[0]] = event
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[key] = _Route(pattern, header, (), [], kind_of(header.message))
            self.profiles[pattern.id].show(piece.example(group[0]))
            alone = len(group) == 1  # most keys come once: for those nothing is planned
        else:
            alone = False
        pattern = route.pattern
        profile = self.profiles[pattern.id]
        profile.latest = piece.example(group[-1])
        profile.files[piece.file] = profile.files.get(piece.file, 0) + len(group)
        _note(profile.hosts, route.header.host, len(group))
        _note(profile.processes, route.header.process, len(group))
        every = 1 if pattern.count <= _ALL_VALUES else _SPARSE
        looked_at = group if every == 1 else [entry for entry in group if entry % every == 0]
        if alone and looked_at:
            self._note_words(profile, route.header, every)
        elif looked_at:
            if route.words is not pattern.words:
                route.words = pattern.words
                route.slots = plan_slots(key, route.header.message, pattern.words)
            _note_values(profile, route.slots, [piece.heads[entry] for entry in looked_at], every)
        if route.login is not None:
            for entry in group:
                self.logins.note(route.login, entry, piece.heads[entry])
        return pattern

    def _learn(self, header: Header, minute: int | None) -> tuple[Pattern, str | None]:
        learned = self.miner.learn(header.level, header.message)
        pattern = learned.pattern
        if pattern.id not in self.profiles:
            surprise = surprise_of_new(self.singles, self.entries)
            self.profiles[pattern.id] = Profile(pattern, surprise, minute)
        if learned.event == "changed":
            self.profiles[pattern.id].changed = minute
        if self.changes is not None:
            self.changes.patterns.add(pattern.id)
            self.changes.merged += self.miner.merged
            self.changes.dropped += self.miner.dropped
        for gone, kept in self.miner.merged:
            self.merged[gone] = kept
            other = self.profiles.pop(gone, None)
            if other is not None:
                self.profiles[kept].merge(other)
        self.miner.merged.clear()
        for gone in self.miner.dropped:
            dropped = self.profiles.pop(gone, None)
            if dropped is not None:
                self.folded_entries += dropped.pattern.count
                self.singles -= dropped.pattern.count == 1
        self.miner.dropped.clear()
        return pattern, learned.event

    def _bound_values(self) -> None:
        """Let rare values go where all patterns together hold too many: a hostile log has no end of them."""
        for kept in (KEPT_VALUES, KEPT_VALUES // 10):
            every = [values for profile in self.profiles.values() for values in profile.values.values()]
            if sum(len(values.counts) for values in every) <= _MOST_VALUES:
                return
            for values in every:
                values.trim(kept)

    def _note_time(self, minutes: list[int]) -> None:
        if not minutes:
            return
        before = minutes[0] if self.latest is None else self.latest
        for minute in minutes:
            if minute - before >= _PAUSE:
                self.pauses.append((before, minute))
            before = max(before, minute)
        self.first = minutes[0] if self.first is None else min(self.first, minutes[0])
        self.latest = before

    def _count(self, pattern: Pattern, minute: int | None, count: int) -> None:
        # A pattern of this chunk may have been folded or merged since.
        profile = self.profiles.get(self.resolve(pattern.id))
        self.entries += count
        if profile is None:
            self.folded_entries += count
            return
        if self.changes is not None:
            self.changes.patterns.add(profile.pattern.id)
            if minute is not None:
                self.changes.buckets[profile.pattern.id, minute - minute % WINDOW] += count
        before = profile.pattern.count
        profile.came(minute, count, self._settings)
        self.singles += (profile.pattern.count == 1) - (before == 1)

    def _expand(
        self,
        again: list[int],
        keys: list[str],
        patterns: dict[str, Pattern],
        piece: Piece,
        file: LogFile,
        times: list[int | None],
        events: dict[int, str],
    ) -> dict[int, Pattern]:
        """Count what lines say that was repeated: its own pattern so many times more. Patterns by entry."""
        expanded: dict[int, Pattern] = {}
        for entry in again:
            line = piece.heads[entry]
            header = file.format.parse(line) or _bare_header(line)
            minute = times[entry]
            before = expanded.get(entry - 1) or patterns.get(keys[entry - 1]) if entry else file.last
            if header.message or before is None:
                before, event = self._learn(header, minute)
                if event is not None:
                    events[entry] = event
                profile = self.profiles[before.id]
                profile.show(piece.example(entry))
                profile.latest = piece.example(entry)
                self._note_words(profile, header, 1)
                self.logins.note(kind_of(header.message), entry, line, header.repeats)
            expanded[entry] = before
            self._count(before, minute, header.repeats)
        return expanded

    def _note_words(self, profile: Profile, header: Header, weight: int) -> None:
        """Count the values of one message by its words."""
        pattern = profile.pattern.words
        for place, word in enumerate(split_words(header.message)):
            if WILDCARD in pattern[place]:
                profile.holds(place, label_before(pattern, place), [(bare(word), header.repeats)], weight)

    def _assign(self, piece: Piece, found: list[Pattern | None], events: dict[int, str]) -> None:
        assert self.assignments is not None
        ends = [*piece.starts[1:], piece.lines]
        for entry, pattern in enumerate(found):
            pattern_id = pattern.id if pattern else 0
            self.assignments.append((pattern_id, events.get(entry)))
            self.assignments.extend([(pattern_id, None)] * (ends[entry] - piece.starts[entry] - 1))


def _bare_header(line: str) -> Header:
    return Header("", "", "", "", "", line)


def _note_values(profile: Profile, slots: list[Slot], lines: list[str], weight: int) -> None:
    """Count the values of lines with one key by where they stand among its numbers."""
    columns = list(zip(*map(NUMBER.findall, lines), strict=True)) if slots else []
    for slot in slots:
        profile.holds(slot.place, slot.label, values_of(slot, columns, len(lines)), weight)


def _note(values: Values, value: str, count: int) -> None:
    if value:
        values.add([(value, count)])
