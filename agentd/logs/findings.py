"""What deserves a look in a digest, worst first, told without any model. Pure.

A finding is one roll-up of one pattern, with the reasons that made it one. What a model thinks of it comes later
and elsewhere, and can only shift the points that `severity` gives.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq

from agentd.logs.digest import Digest
from agentd.logs.logins import BreakIn
from agentd.logs.news import (
    News,
    NewsSettings,
    burst_news,
    find_rare,
    find_return,
    find_silence,
    is_regular,
)
from agentd.logs.patterns import WILDCARD
from agentd.logs.profile import Example, Profile
from agentd.logs.severity import SEVERITIES, STEPS, Severity, judge
from agentd.logs.slots import label_before
from agentd.logs.variables import Values, bare

# More than this nobody reads; what is left out is counted.
MAX_FINDINGS = 25
TOP_VALUES = 3
MAX_EXAMPLES = 5
# Patterns that share so many of their words are one finding: one storm kills many programs.
FAMILY = 0.7
# From which severity on a pattern is a finding.
_FINDING = STEPS[SEVERITIES.index("warning") - 1]
# A log read once tells what is usual in its first quarter, where that is shorter than the warm-up.
_WARM_UP_SHARE = 0.25

# What a careful colleague would type next, by what the words of a pattern are about.
ACTIONS = {
    "memory": "Find what filled the memory at that time, and limit it or add memory.",
    "disk": "Make room: `df -h` shows which file system is full, `du -xh --max-depth=2` what fills it.",
    "crash": "Look for a core dump (`coredumpctl list`) and for what was installed or changed before it.",
    "hardware": "Back up now, then check the device: `smartctl -a` for disks, `journalctl -k` for the rest.",
    "data": "Stop writing to it, then check it and compare with the last backup.",
    "security": "See whether these sources are known; block those that are not, and use keys for logins.",
    "suspicious text": "This log holds instructions to a reader: see who can write there. Nobody followed them.",
    "network": "Check that the other side is up and can be reached from here.",
    "failure": "Read the lines around the first of them.",
    "other": "Read the lines around it.",
}


@dataclass(frozen=True, slots=True)
class Ranked:
    """A pattern and how much it deserves a look."""

    profile: Profile
    severity: Severity
    news: tuple[News, ...]
    regular: bool  # comes like a nightly job


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at."""

    patterns: tuple[int, ...]  # that are alike, the one that speaks for them first; none for a break-in
    title: str  # the words of that pattern, or what was broken into
    level: str
    event: str  # the news that weighs most, "break-in", or "seen" where only what it says is remarkable
    severity: str
    score: int
    parts: Mapping[str, int]  # what the score is made of
    category: str
    summary: str
    action: str
    count: int
    first: int | None  # minutes since 1970
    last: int | None
    days: int
    examples: tuple[Example, ...]

    @property
    def pattern_id(self) -> int:
        """The pattern that speaks for all; 0 for a break-in."""
        return self.patterns[0] if self.patterns else 0

    @property
    def key(self) -> str:
        """What stays the same while counts grow: two findings of one log never share it."""
        return f"pattern {min(self.patterns)}" if self.patterns else self.title


def rank(digest: Digest, settings: NewsSettings, now: int | None = None) -> list[Ranked]:
    """Every pattern of a digest, the worst first. `now` is the minute that a log is followed in."""
    ranked = [judge_profile(profile, digest, settings, now) for profile in digest.profiles.values()]
    return sorted(
        ranked, key=lambda one: (-one.severity.score, -one.profile.pattern.count, one.profile.pattern.id)
    )


def find(ranked: Sequence[Ranked], break_ins: Sequence[BreakIn]) -> list[Finding]:
    """The findings among ranked patterns, patterns that are alike as one, and proven break-ins before them all."""
    families = list[list[Ranked]]()
    for one in ranked:
        family = next((family for family in families if _alike(family[0], one)), None)
        if family is not None:
            family.append(one)  # it counts, even where it would be no finding alone
        elif one.severity.score >= _FINDING:
            families.append([one])
    return [*_broken_in(break_ins), *map(_finding, families)]


def _alike(one: Ranked, other: Ranked) -> bool:
    """Whether two patterns say the same of different things."""
    ours, theirs = one.profile.pattern.words, other.profile.pattern.words
    if len(ours) != len(theirs) or one.severity.category != other.severity.category:
        return False
    same: int = sum(map(eq, ours, theirs))
    return same >= FAMILY * len(ours)


def _end_of_warm_up(digest: Digest, settings: NewsSettings, *, followed: bool) -> float:
    if digest.first is None or digest.latest is None:
        return 0
    learned = settings.warm_up / 60
    return digest.first + (learned if followed else min(learned, _WARM_UP_SHARE * (digest.latest - digest.first)))


def judge_profile(profile: Profile, digest: Digest, settings: NewsSettings, now: int | None = None) -> Ranked:
    """How much one pattern of a digest deserves a look."""
    pattern = profile.pattern
    speaks_from = _end_of_warm_up(digest, settings, followed=now is not None)
    news = list[News]()
    if profile.created is not None and profile.created > speaks_from:
        news.append(News("new", profile.created, profile.surprise, "new"))
    if profile.changed is not None and profile.changed > speaks_from:
        news.append(News("changed", profile.changed, profile.surprise, "changed its words"))
    burst = profile.history.burst
    if burst is not None and burst.minute > speaks_from:
        news.append(burst_news(burst))
    news.extend(
        one
        for one in (
            find_silence(profile.history, digest.latest if now is None else now, settings, digest.pauses),
            find_return(profile.history, settings),
            find_rare(pattern.count, digest.entries, settings),
        )
        if one is not None
    )
    regular = is_regular(profile.history)
    severity = judge(pattern.text, pattern.level, news, count=pattern.count, days=profile.days, regular=regular)
    return Ranked(profile, severity, tuple(news), regular)


def _finding(family: Sequence[Ranked]) -> Finding:
    one = family[0]
    telling = [news for news in one.news if one.severity.parts.get(news.kind, 0) > 0]
    event = max(telling, key=lambda news: one.severity.parts[news.kind]).kind if telling else "seen"
    profiles = [member.profile for member in family]
    examples = [example for profile in profiles for example in profile.shown()]
    pattern, severity = one.profile.pattern, one.severity
    return Finding(
        patterns=tuple(profile.pattern.id for profile in profiles),
        title=pattern.text,
        level=pattern.level,
        event=event,
        severity=severity.name,
        score=severity.score,
        parts=severity.parts,
        category=severity.category,
        summary=_summary(profiles, telling),
        action=ACTIONS[severity.category],
        count=sum(profile.pattern.count for profile in profiles),
        first=min((at for profile in profiles if (at := profile.history.first) is not None), default=None),
        last=max((at for profile in profiles if (at := profile.history.last) is not None), default=None),
        days=max(profile.days for profile in profiles),
        examples=tuple(examples[:MAX_EXAMPLES]),
    )


def _summary(profiles: Sequence[Profile], news: Sequence[News]) -> str:
    count = sum(profile.pattern.count for profile in profiles)
    days = max(profile.days for profile in profiles)
    on = "on at least" if len(profiles) > 1 else "on"
    parts = ["once" if count == 1 else f"{count:,} times" + (f" {on} {days} days" if days > 1 else "")]
    if len(profiles) > 1:
        parts.append(f"{len(profiles)} patterns that are alike")
    parts += [one.text for one in news if one.kind not in ("new", "rare")]
    parts += [described for values in _values_of(profiles) if (described := describe(values))]
    return "; ".join(parts)


def _values_of(profiles: Sequence[Profile]) -> Iterator[Values]:
    """What stood at each place where patterns that are alike differ, or have a variable."""
    words = [profile.pattern.words for profile in profiles]
    for place, variants in enumerate(zip(*words, strict=True)):
        if len(set(variants)) == 1 and WILDCARD not in variants[0]:
            continue
        union = Values(label_before(words[0], place))
        for profile, word in zip(profiles, variants, strict=True):
            if place in profile.values:
                union.merge(profile.values[place])
            elif WILDCARD in word:
                union.exact = False  # a place that was not counted
            else:
                union.add([(bare(word), profile.pattern.count)])
        yield union


def describe(values: Values) -> str:
    """Which values a variable had most often: "rhost: 24 different, most 10.0.0.1 (286)"; "" for mere numbers."""
    top = values.top(TOP_VALUES)
    if values.ids or len(top) < 2 or not (values.addresses or any(value[:1].isalpha() for value, _ in top)):
        return ""
    about = "" if values.exact else "about "
    label = f"{values.label}: " if values.label else ""
    most = ", ".join(f"{value} ({about}{count:,})" for value, count in top)
    return f"{label}{about}{values.distinct:,} different, most {most}"


def _broken_in(break_ins: Sequence[BreakIn]) -> list[Finding]:
    by_address: dict[str, list[BreakIn]] = {}
    for one in break_ins:
        by_address.setdefault(one.address, []).append(one)
    return [
        Finding(
            patterns=(),
            title=f"break-in from {address}",
            level="",
            event="break-in",
            severity="critical",
            score=100,
            parts={"accepted after failures": 100},
            category="security",
            summary=f"a login from {address} was accepted after {logins[0].failures:,} failed ones from there",
            action="Treat that account as taken over: end its sessions, change its secrets, see what it did.",
            count=len(logins),
            first=None,
            last=None,
            days=0,
            examples=tuple(one.example for one in logins[:TOP_VALUES]),
        )
        for address, logins in by_address.items()
    ]
