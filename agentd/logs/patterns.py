"""The miner: log messages become patterns, one message at a time, with bounded memory.

After Drain (He et al., ICWS 2017): messages of as many words that begin alike share a leaf, and a message belongs
to the pattern of its leaf that it resembles most. What is different here: a plain word becomes a wildcard only
once VARIANTS messages differ in nothing else, because "started" and "stopped" are two messages, and merging them
would hide the second. Times, counts and files are not known here; neither is what is remarkable.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import eq

WILDCARD = "<*>"
# Measured on 16 public sets: below 20, new failures hide in a pattern that was there; far above, users and hosts
# that a message names each make a pattern of their own.
VARIANTS = 20
# Half of the words: Drain's own default lies between .4 and .5.
SIMILARITY = 0.5
# A leaf that grows without bound makes every message slower than the one before.
LEAF_PATTERNS = 64
MAX_PATTERNS = 4096
# What stands further back in a message no longer tells it from others.
MAX_WORDS = 64
MAX_CHARACTERS = 4096

# A run of characters that belong together and hold a digit somewhere. The lookbehind and the possessive
# quantifiers keep it linear on hostile lines.
_VARIABLE = re.compile(r"(?<![\w.:/@%+-])[^\W\d]*+(?:[.:/@%+-]++[^\W\d]*+)*+\d[\w.:/@%+-]*+")
# The names of days and months are variable where they are part of a date. One word stays one word.
_DATE = re.compile(
    r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?=,? +(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d)"
    r"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?= +\d))"
)
_LETTER = re.compile(r"[^\W\d_]")

Words = tuple[str, ...]


@dataclass(slots=True)
class Pattern:
    """A log message with its variable parts removed."""

    id: int
    level: str
    words: Words
    count: int = 0  # entries since it was created, those of patterns that merged into it included
    touched: int = 0  # when it was last met, in the miner's own counting

    @property
    def text(self) -> str:
        """As people read it."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Learned:
    """Which pattern a message belongs to, and what learning it did to the patterns."""

    pattern: Pattern
    event: str | None  # "created", "changed" or None
    words: Words  # of the message, its variables masked


@dataclass(slots=True)
class _Leaf:
    patterns: list[Pattern] = field(default_factory=list)


def split_words(message: str) -> list[str]:
    """The words of a message, `key=value` apart, at most MAX_WORDS of its first MAX_CHARACTERS."""
    return message[:MAX_CHARACTERS].replace("=", "= ").split(None, MAX_WORDS)[:MAX_WORDS]


def mask(message: str) -> Words:
    """The words of a message with whatever holds a digit replaced by the wildcard."""
    text = _DATE.sub(WILDCARD, message[:MAX_CHARACTERS])
    return tuple(split_words(_VARIABLE.sub(WILDCARD, text)))


class Ids:
    """Numbers for patterns, each given once; shared by the miners of all sources."""

    def __init__(self, first: int = 1) -> None:
        self.next = first

    def take(self) -> int:
        """The next number."""
        self.next += 1
        return self.next - 1


class Miner:
    """The patterns of one source. Ids are never given twice, and survive a restart through `restore`."""

    def __init__(self, ids: Ids | None = None, max_patterns: int = MAX_PATTERNS) -> None:
        self._ids = ids or Ids()
        self.folded = 0  # patterns that were dropped because there were too many
        self.merged: list[tuple[int, int]] = []  # (id that is gone, id it is now); whoever stores them empties it
        self.dropped: list[int] = []  # ids that were folded away; whoever stores them empties it
        self.patterns: dict[int, Pattern] = {}
        self._max_patterns = max_patterns
        self._time = 0
        self._leaves: dict[tuple[str, int, str], _Leaf] = {}
        self._exact: dict[tuple[str, Words], Pattern] = {}
        self._alike: dict[int, list[Pattern]] = {}  # by hash of level and all words but one

    def restore(self, patterns: Iterable[Pattern]) -> None:
        """Take up patterns that were stored, in any order."""
        for pattern in sorted(patterns, key=lambda pattern: pattern.id):
            self._add(pattern)
            self._time = max(self._time, pattern.touched)

    def learn(self, level: str, message: str) -> Learned:
        """Find the pattern of a message, or make one. Counting is the caller's: see `Pattern.count`."""
        words = mask(message)
        self._time += 1
        pattern = self._exact.get((level, words))
        event = None
        if pattern is None:
            pattern = self._find(level, words)
            if pattern is None:
                pattern, event = self._create(level, words), "created"
            elif self._widen(pattern, words):
                event = "changed"
            self._remember(level, words, pattern)
        pattern.touched = self._time
        return Learned(pattern, event, words)

    def _find(self, level: str, words: Words) -> Pattern | None:
        """The most similar pattern that may take this message, the oldest of equals."""
        enough = SIMILARITY * len(words)
        best, most = None, -1
        for leaf in self._leaves_of(level, words):
            for pattern in leaf.patterns:
                same = sum(map(eq, pattern.words, words))
                if same >= enough and same > most and _may_differ(pattern.words, words):
                    best, most = pattern, same
        return best

    def _leaves_of(self, level: str, words: Words) -> Iterator[_Leaf]:
        for head in dict.fromkeys((_head(words), WILDCARD)):
            leaf = self._leaves.get((level, len(words), head))
            if leaf:
                yield leaf

    def _widen(self, pattern: Pattern, words: Words) -> bool:
        """Make wildcards of the words in which a message differs; whether there were any."""
        wider = tuple(old if old == new else WILDCARD for old, new in zip(pattern.words, words, strict=True))
        if wider == pattern.words:
            return False
        self._move(pattern, wider)
        return True

    def _create(self, level: str, words: Words) -> Pattern:
        pattern = Pattern(self._ids.take(), level, words)
        if len(self.patterns) >= self._max_patterns:
            self._fold(sorted(self.patterns.values(), key=_warmth)[: max(1, self._max_patterns // 4)])
        crowd = self._add(pattern)
        return self._merge(crowd) if crowd else pattern

    def _add(self, pattern: Pattern) -> list[Pattern]:
        """File a pattern; returns those it shares all words but one with, where they are VARIANTS by now."""
        self.patterns[pattern.id] = pattern
        self._exact[pattern.level, pattern.words] = pattern
        leaf = self._leaves.setdefault((pattern.level, len(pattern.words), _head(pattern.words)), _Leaf())
        if len(leaf.patterns) >= LEAF_PATTERNS:
            self._fold([min(leaf.patterns, key=_warmth)])
        leaf.patterns.append(pattern)
        crowd: list[Pattern] = []
        for place in _plain_places(pattern.words):
            alike = self._alike.setdefault(_hash_without(pattern, place), [])
            alike.append(pattern)
            if len(alike) >= VARIANTS and not crowd and _differ_only(alike, place):
                crowd = list(alike)
        return crowd

    def _merge(self, crowd: list[Pattern]) -> Pattern:
        """Make one pattern of several that differ in one word; the oldest keeps its id."""
        oldest = min(crowd, key=lambda pattern: pattern.id)
        wider = tuple(
            old if all(other.words[place] == old for other in crowd) else WILDCARD
            for place, old in enumerate(oldest.words)
        )
        for other in crowd:
            if other is not oldest:
                self._remove(other)
                oldest.count += other.count
                self.merged.append((other.id, oldest.id))
        gone = {id(other) for other in crowd}
        for key, pattern in self._exact.items():
            if id(pattern) in gone:
                self._exact[key] = oldest
        self._move(oldest, wider)
        return oldest

    def _move(self, pattern: Pattern, words: Words) -> None:
        """Give a pattern other words."""
        self._remove(pattern)
        pattern.words = words
        self._add(pattern)

    def _remove(self, pattern: Pattern) -> None:
        del self.patterns[pattern.id]
        key = (pattern.level, len(pattern.words), _head(pattern.words))
        self._leaves[key].patterns.remove(pattern)
        if not self._leaves[key].patterns:
            del self._leaves[key]
        for place in _plain_places(pattern.words):
            number = _hash_without(pattern, place)
            self._alike[number].remove(pattern)
            if not self._alike[number]:
                del self._alike[number]

    def _fold(self, coldest: list[Pattern]) -> None:
        """Forget patterns that hardly ever come, and say so."""
        for pattern in coldest:
            self._remove(pattern)
            self.dropped.append(pattern.id)
        self.folded += len(coldest)
        self._exact = {key: pattern for key, pattern in self._exact.items() if pattern.id in self.patterns}

    def _remember(self, level: str, words: Words, pattern: Pattern) -> None:
        if len(self._exact) >= 4 * self._max_patterns:
            self._exact = {(kept.level, kept.words): kept for kept in self.patterns.values()}
        self._exact[level, words] = pattern


def _warmth(pattern: Pattern) -> tuple[int, int]:
    """Sorts the coldest first: seldom met, and longest ago."""
    return pattern.count, pattern.touched


def _head(words: Words) -> str:
    return words[0] if words and WILDCARD not in words[0] else WILDCARD


def _plain_places(words: Words) -> list[int]:
    """Where plain words stand: letters, and nothing that was masked alone."""
    return [place for place, word in enumerate(words) if word != WILDCARD and _LETTER.search(word)]


def _may_differ(pattern: Words, words: Words) -> bool:
    """Whether all differences are such that a message may differ from its pattern in them."""
    for old, new in zip(pattern, words, strict=True):
        if old in (new, WILDCARD) or new == WILDCARD:
            continue  # a number where a word was: it is a variable after all
        if WILDCARD in old or WILDCARD in new or (_LETTER.search(old) and _LETTER.search(new)):
            return False
    return True


def _hash_without(pattern: Pattern, place: int) -> int:
    return hash((pattern.level, place, pattern.words[:place], pattern.words[place + 1 :]))


def _differ_only(patterns: list[Pattern], place: int) -> bool:
    """Whether these have all words but one in common; equal hashes alone do not prove it."""
    first = patterns[0].words
    return all(
        other.words[:place] == first[:place] and other.words[place + 1 :] == first[place + 1 :]
        for other in patterns
    )
