"""What notes with a tag have in common: a profile of words for each tag, learned note by note.

A profile is the sum of its notes' vectors (logarithmic word counts, each note of length 1); how alike a note and
a profile are is the cosine of the two, each word weighed by its rarity (inverse document frequency). This is
Rocchio's centroid of 1971. Notes can be taken out again, so that an edit or a correction is learned at once.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Terms = Mapping[str, int]
TINY = 1e-9  # what rounding leaves of a weight that was taken out again


@dataclass(frozen=True, slots=True)
class Learned:
    """A note as it was learned."""

    terms: Terms
    tags: tuple[str, ...]


class Profiles:
    """The profiles of one vault."""

    def __init__(self) -> None:
        self.notes = 0  # all of them, with tags or without
        self.tagged: Counter[str] = Counter()  # notes by tag
        self._frequency: Counter[str] = Counter()  # notes by word
        self._sums: dict[str, defaultdict[str, float]] = {}
        self._every: defaultdict[str, float] = defaultdict(float)  # the profile of all notes
        self._sizes: dict[str, float] = {}  # of the profiles with rarities, until something changes

    def add(self, terms: Terms, tags: Iterable[str]) -> None:
        """Learn a note."""
        self._change(terms, tags, 1)

    def remove(self, terms: Terms, tags: Iterable[str]) -> None:
        """Forget a note that was learned with these terms and tags."""
        self._change(terms, tags, -1)

    def rarity(self, term: str) -> float:
        """ln(1 + N / n) for a word that n of N notes have."""
        return math.log1p(self.notes / max(self._frequency[term], 1))

    def notes_with(self, term: str) -> int:
        """How many notes have a word."""
        return self._frequency[term]

    def relative_rarity(self, terms: Iterable[str]) -> dict[str, float]:
        """The rarity of words that occur at all, as a multiple of their mean."""
        known = {term: self.rarity(term) for term in terms if self._frequency[term]}
        mean = sum(known.values()) / len(known) if known else 1.0
        return {term: rarity / mean for term, rarity in known.items()}

    def compare(self, terms: Terms, tags: Iterable[str], own: Learned | None = None) -> dict[str, float]:
        """How alike a note is to each of these tags that has a profile, from 0 to 1.

        `own` is the note itself as it was learned, where it was: it says nothing about itself.
        """
        note, length = self._weigh(terms)
        found = {}
        for tag in tags:
            itself = own is not None and tag in own.tags
            if self.tagged[tag] - itself <= 0 or not length:
                continue
            sums: Mapping[str, float] = self._sums[tag]
            if itself and own:
                sums = _subtract(sums, _vector(own.terms))
                size = self._size(sums)
            else:
                if tag not in self._sizes:
                    self._sizes[tag] = self._size(sums)
                size = self._sizes[tag]
            found[tag] = self._cosine(note, length, sums, size)
        return found

    def likeness_to_all(self, terms: Terms, own: Learned | None = None) -> float:
        """How alike a note is to all other notes together: what a tag of which nothing is known would come to."""
        note, length = self._weigh(terms)
        others = _subtract(self._every, _vector(own.terms)) if own else self._every
        return self._cosine(note, length, others, self._size(others)) if length else 0.0

    def _weigh(self, terms: Terms) -> tuple[dict[str, float], float]:
        note = {term: weight * self.rarity(term) for term, weight in _vector(terms).items()}
        return note, _length(note.values())

    def _cosine(self, note: Mapping[str, float], length: float, sums: Mapping[str, float], size: float) -> float:
        common = sum(sums.get(term, 0.0) * self.rarity(term) * weight for term, weight in note.items())
        return common / (length * size) if common and size else 0.0

    def _size(self, sums: Mapping[str, float]) -> float:
        return _length(self.rarity(term) * weight for term, weight in sums.items())

    def _change(self, terms: Terms, tags: Iterable[str], sign: int) -> None:
        self._sizes.clear()
        self.notes += sign
        for term in terms:
            self._frequency[term] += sign
        vector = _vector(terms)
        for term, weight in vector.items():
            self._every[term] += sign * weight
        for tag in tags:
            self.tagged[tag] += sign
            if self.tagged[tag] <= 0:
                # What rounding left of the last note must not stay.
                del self.tagged[tag]
                self._sums.pop(tag, None)
                continue
            sums = self._sums.setdefault(tag, defaultdict(float))
            for term, weight in vector.items():
                sums[term] += sign * weight


def _subtract(sums: Mapping[str, float], vector: Mapping[str, float]) -> dict[str, float]:
    rest = {term: weight - vector.get(term, 0.0) for term, weight in sums.items()}
    return {term: weight for term, weight in rest.items() if weight > TINY}


def _length(weights: Iterable[float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights))


def _vector(terms: Terms) -> dict[str, float]:
    weights = {term: 1 + math.log(count) for term, count in terms.items()}
    length = _length(weights.values()) or 1.0
    return {term: weight / length for term, weight in weights.items()}
