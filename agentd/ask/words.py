"""Which words of a question or an answer carry meaning: the only thing here that knows English."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_STOP = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being between
    both but by can could did do does doing done down each else ever every few for from get gets
    give given gives had has have having he her here hers him his how i if in into is it its just
    know less let like long many may me mean means might more most much must my need needs no nor
    not of off often old on once one only or other our out over own please said same say says shall
    she should so some such take takes tell than that the their them then there these they this
    those through to too under until up upon us use used uses using very was way we were what when
    where which while who whom whose why will with within without would you your
    """.split()  # noqa: SIM905 - a list of quoted words is no easier to read
)
_NEGATION = re.compile(r"\b(?:no|not|never|none|nobody|nothing|nor|without|cannot)\b|n['’]t\b", re.IGNORECASE)
_STEM = 5  # letters


def terms(text: str) -> list[str]:
    """The telling words of a text, lower case, each once, in order."""
    words = (word.lower() for word in _WORD.findall(text))
    return list(dict.fromkeys(word for word in words if word not in _STOP and (len(word) > 1 or word.isdigit())))


def missing_words(words: Iterable[str], text: str) -> list[str]:
    """Those of `words` (lower case) that a text does not hold in any form.

    A form is told by its first letters: `planted` and `planting` agree, `12` and `120` do not.
    """
    known = {word.lower() for word in _WORD.findall(text)}
    stems = {_stem(word) for word in known}
    return [word for word in words if word not in known and (has_digit(word) or _stem(word) not in stems)]


def negates(text: str) -> bool:
    """Whether a text denies something."""
    return bool(_NEGATION.search(text))


def has_digit(word: str) -> bool:
    """Whether a word is or holds a number."""
    return any(letter.isdigit() for letter in word)


def _stem(word: str) -> str:
    return word.rstrip("s")[:_STEM]
