"""What the words of a note say about a tag: the tag's own words in its title, its code blocks and its text.

Counting, and nothing that was learned. What other notes say is in `profiles`, what a model says in `evidence`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_TERM = re.compile(r"[^\W\d_]\w*")
_FENCE = re.compile(r"^(?:```+|~~~+)[ \t]*([\w+#-]+)", re.MULTILINE)
_STEM = 4  # letters from which on a tag's word also stands for words that begin with it: postgres, postgresql
IN_TITLE = 1.0
IN_FENCE = 0.5  # the language of a code block
_LITTLE = frozenset(
    {"a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "its", "of", "on", "or", "the", "to", "with"}
)


def count_terms(text: str) -> Counter[str]:
    """The words of a text, in lower case."""
    return Counter(_TERM.findall(text.lower()))


@dataclass(frozen=True, slots=True)
class NoteWords:
    """The words of one note, apart by where they stand."""

    title: Counter[str]
    fences: Counter[str]
    all: Counter[str]


def read_words(text: str) -> NoteWords:
    """The words of a note; its title is its first line that has any."""
    title = next((line for line in text.split("\n") if line.strip()), "")
    return NoteWords(count_terms(title), Counter(_FENCE.findall(text.lower())), count_terms(text))


def words_of_tag(tag: str, meaning: str) -> list[str]:
    """The words that stand for a tag: those of its last level, and those of its description."""
    described = (word for word in _TERM.findall(meaning.lower()) if word not in _LITTLE)
    return list(dict.fromkeys((*_own_words(tag), *described)))


def _own_words(tag: str) -> list[str]:
    return _TERM.findall(tag.rsplit("/", 1)[-1].lower())


def weigh(tag: str, meaning: str, note: NoteWords, rarity: Mapping[str, float]) -> tuple[float, list[str]]:
    """How much a note speaks of a tag, in nats, and which of its words it has.

    The logarithm of how often they come, more where the tag itself stands in the title or is the language of a
    code block, each word by the square root of how rare it is among all notes (`rarity`, 1 for a word that is as
    rare as most). A word that only describes the tag says no more in a title than anywhere.
    """
    own = _own_words(tag)
    found: list[str] = []
    total = 0.0
    for word in words_of_tag(tag, meaning):
        count = _count(word, note.all)
        fenced = _count(word, note.fences) > 0
        if not count and not fenced:
            continue
        found.append(word)
        told = math.log1p(count)
        if word in own:
            told += IN_TITLE * (_count(word, note.title) > 0) + IN_FENCE * fenced
        total += told * math.sqrt(rarity.get(word, 1.0))
    return total, found


def _count(word: str, terms: Counter[str]) -> int:
    stem = _stem(word)
    if len(stem) < _STEM:
        return terms[word]
    return sum(count for term, count in terms.items() if term.startswith(stem))


def _stem(word: str) -> str:
    """A word without the ending of a plural: what other forms of it begin with."""
    if word.endswith("ies"):
        return word.removesuffix("ies")
    return word if word.endswith("ss") else word.removesuffix("s")
