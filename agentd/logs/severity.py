"""How bad a pattern is, as points that code can explain: level, words, news, how often, what a model said.

Every part is kept beside the sum, so that a reader can see why, and so that no model can talk an out-of-memory
kill down nor a login up: its word is one part among others, and bounded. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentd.logs.news import News

SEVERITIES = ("info", "notice", "warning", "error", "critical")
# From how many points on a pattern has each severity; the first has none to reach.
STEPS = (20, 35, 55, 80)

LEVEL_POINTS = {"fatal": 45, "error": 30, "warn": 15, "notice": 2}
NEWS_POINTS = {"new": 15, "changed": 3, "burst": 36, "silence": 36, "rare": 4, "returned": 6}
# What a model can add or take away.
MODEL_POINTS = {"info": -10, "notice": -5, "warning": 0, "error": 5, "critical": 10}
# A pattern that comes like clockwork is somebody's job running, whatever it says.
REGULAR_FACTOR = 0.3

# What goes wrong on computers, by how bad it is when nobody looks; the category is what a finding is filed under.
_WORDS: tuple[tuple[int, str, str], ...] = (
    (45, "memory", r"out of memory|oom[- ]?kill\w*|killed process|cannot allocate memory|outofmemory\w*"),
    (45, "disk", r"no space left|disk(?: is)? full|file ?system full|quota exceeded|read-only file system"),
    (45, "crash", r"seg(?:mentation )?fault\w*|kernel panic|panic(?:ked)?|core dumped|general protection|oops"),
    (
        40,
        "hardware",
        r"i/o error|machine check (?:event|exception|error)s?|"
        r"hardware error|uncorrect\w+|bad sector|medium error|over ?temperature",
    ),
    (40, "data", r"corrupt\w*|checksum (?:error|mismatch|failed)|data loss|bad superblock"),
    (35, "memory", r"page allocation failure|allocation fail\w+|memory leak|low memory"),
    (35, "security", r"break-?in|intrusion|exploit\w*|malware|attack\w*|rootkit|unauthori[sz]ed"),
    (
        35,
        "suspicious text",
        r"(?:ignore|disregard|forget)\b.{0,30}\b(?:previous|prior|above|all)\b.{0,30}\binstructions?",
    ),
    (30, "security", r"authentication failures?|failed password|login fail\w+|failed login|invalid user"),
    (30, "crash", r"crash\w*|abort(?:ed)?|terminated abnormally|exited abnormally|core dump|deadlock\w*|livelock"),
    (25, "failure", r"fatal|critical|emerg\w*|alert|severe|exception\w*|traceback|\w+exception"),
    (
        20,
        "failure",
        r"errors?|fail(?:ed|ure|ures|s|ing)?|cannot|could not|couldn't|unable|unreachable|(?-i:\w+Error)",
    ),
    (20, "security", r"denied|forbidden|illegal|violation|rejected|not permitted|possible attempt"),
    (15, "network", r"time[d]?[ -]?out|refused|reset by peer|broken pipe|no route|connection lost|unreachable"),
    (
        10,
        "failure",
        r"warn(?:ing)?|retry\w*|retrying|invalid|missing|not found|lost|stale|stuck|hung|too many|exceed\w*",
    ),
)
_FINDERS = tuple(
    (points, category, re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.I)) for points, category, words in _WORDS
)
# Said of what did not go wrong.
_NOT = re.compile(r"\b(?:no|without|0|zero) (?:errors?|failures?|warnings?|problems?)\b", re.I)


@dataclass(frozen=True, slots=True)
class Severity:
    """The points of a pattern and where they come from."""

    parts: dict[str, int] = field(default_factory=dict)  # by what gave them; their sum is the score
    words: tuple[str, ...] = ()  # that gave points
    category: str = "other"

    @property
    def score(self) -> int:
        """The sum, from 0 to 100."""
        return max(0, min(100, sum(self.parts.values())))

    @property
    def name(self) -> str:
        """One of SEVERITIES."""
        return severity_of(self.score)


def severity_of(score: int) -> str:
    """One of SEVERITIES, for points."""
    return SEVERITIES[sum(score >= step for step in STEPS)]


def judge_words(text: str) -> tuple[int, str, tuple[str, ...]]:
    """Points, category and the words that gave them, of the worst thing that a text names."""
    text = _NOT.sub(" ", text)
    worst, category, words = 0, "other", list[str]()
    for points, kind, finder in _FINDERS:
        found = finder.search(text)
        if found:
            if points > worst:
                worst, category = points, kind
            words.append(found[0].lower())
    return worst, category, tuple(dict.fromkeys(words))


def judge(
    text: str, level: str, news: Sequence[News], *, count: int, days: int, regular: bool, model: str | None = None
) -> Severity:
    """Points for a pattern: `count` entries on `days` different days; `model` is the severity that one gave."""
    points, category, words = judge_words(text)
    parts = {"level": LEVEL_POINTS.get(level, 0), "words": points}
    serious = parts["level"] + points
    for one in news:
        parts[one.kind] = round(NEWS_POINTS[one.kind] * one.surprise)
    if serious >= 20 and count >= 100:
        parts["often"] = (10 if serious >= 40 else 5) * (2 if count >= 1000 else 1)
    if serious >= 30 and days >= 3 and not regular:
        parts["days"] = 5
    if regular:
        total = sum(parts.values())
        parts["regular"] = -round((1 - REGULAR_FACTOR) * total)
    if model is not None:
        parts["model"] = MODEL_POINTS[model]
    return Severity({name: value for name, value in parts.items() if value}, words, category)
