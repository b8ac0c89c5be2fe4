"""Words that can do nothing but be read: without links, images, hidden letters or code that a viewer would run.

A model may repeat what a document tells it to. An image in its words, shown by a viewer of notes, would carry what
it has read to whoever wrote that document. So its words lose what could, before anybody gets them; what a document
itself says is cleaned where it is put into another file. What any of it means is not known here.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

# What goes, and what stays of it.
Taken = Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]

_HIDDEN_KINDS = ("Cc", "Cf", "Cs")  # controls, formats (direction, zero width, tags), halves of pairs
# Letters of no width that count as others: fillers, and selectors that can spell out any bytes.
_HIDDEN = frozenset("\u115f\u1160\u3164\uffa0\u2800") | {chr(code) for code in range(0xE0100, 0xE01F0)}
_BREAKS = str.maketrans({"\u2028": "\n", "\u2029": "\n", "\x85": "\n", "\r": "\n"})
# Persian, Indic scripts and emoji are written with joiners and selectors, one at a time, or these two.
_JOINERS = "\u200c\u200d"
_PAIR = "\ufe0f\u200d"
_MANY = re.compile(r"[\u200c\u200d\ufe00-\ufe0f]{2,}|(?:^|(?<=\s))[\u200c\u200d]|[\u200c\u200d](?=\s|$)")
_IMAGE = re.compile(r"!\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])?")
_LINK = re.compile(r"\[([^\[\]]*)\]\(\s*([^()]*(?:\([^()]*\)[^()]*)*)\)")
_ABROAD = re.compile(r"//|\\\\|[:&]")  # what the target of a link inside a vault does not have
_REFERENCE = re.compile(r"^[ \t]{0,3}\[[^\^\[\]\n][^\[\]\n]*\]:[ \t]*(?:(?:[^\s:/]*:|//)[^\n]*|$)", re.MULTILINE)
# What is only begun: another text behind it could complete it.
_MARK = re.compile(r"!(?=\[)")
_TARGET = re.compile(r"\]\((?=\s*<?(?:[a-z][a-z0-9+.-]*:|//|\\|&))", re.IGNORECASE)
_ANGLE = re.compile(r"<(?=[a-z/!?][^<>]*$)", re.IGNORECASE)
_ATTRIBUTE = r"(?:src|srcset|href|data|action|formaction|poster|background|style|ping|content)\s*="
_TAG = re.compile(rf"</?script\b[^<>]*>|<[a-z/!?][^<>]*?(?:\b{_ATTRIBUTE}|\burl\()[^<>]*>", re.IGNORECASE)
_MAIL = re.compile(r"<(?:mailto|tel|sms|data|javascript|vbscript):([^<>]*)>", re.IGNORECASE)
_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}:(?:/|\\){2,}(?:[^\s/@<>\"'`]*@)?([^\s/?#<>\[\](){}\"'`|\\^]*)[^\s<>\"'`)\]}]*",
    re.IGNORECASE,
)
_WWW = re.compile(r"\b(www\.[^\s/?#<>\[\](){}\"'`]+)[/?#][^\s<>\"'`)\]}]*", re.IGNORECASE)
_RUNS = re.compile(r"`{3,}|~{3,}|<%|`\$=")  # what begins code, and code that viewers of notes run
_LINES = re.compile(r"\s*[\n\t]\s*")


def visible(text: str) -> str:
    """A text without what is not seen: controls but line ends and tabs, marks of direction, zero widths."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(letter for letter in text.translate(_BREAKS) if not _is_hidden(letter))
    return _MANY.sub(lambda found: _PAIR if found[0] == _PAIR else "", kept)


def inert(text: str) -> str:
    """A text without links and images: of each stays its words, or the name of its host."""
    return _without(_LINKS, visible(text))


def one_line(text: str) -> str:
    """An inert text as part of a line in somebody's file: it begins no line and no code there."""
    return _without((*_LINKS, *_CODE), _LINES.sub(" ", inert(text).strip()))


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A value of JSON with each of its texts changed."""
    match value:
        case str():
            return change(value)
        case list():
            return [each_text(item, change) for item in value]
        case dict():
            return {name: each_text(inner, change) for name, inner in value.items()}
    return value


def _without(taken: Taken, text: str) -> str:
    before = ""
    while text != before:  # one that is taken away may complete another
        before = text
        for pattern, instead in taken:
            text = pattern.sub(instead, text)
    return text


def _is_hidden(letter: str) -> bool:
    if letter in _JOINERS or letter in "\n\t":
        return False
    return letter in _HIDDEN or unicodedata.category(letter) in _HIDDEN_KINDS


def _link(found: re.Match[str]) -> str:
    return found[1] if _ABROAD.search(found[2]) else found[0]


_LINKS: Taken = (
    (_IMAGE, r"\1"),
    (_LINK, _link),
    (_REFERENCE, ""),
    (_TAG, ""),
    (_MAIL, r"\1"),
    (_URL, r"\1"),
    (_WWW, r"\1"),
    (_MARK, ""),
    (_TARGET, "] ("),
    (_ANGLE, "< "),
)
_CODE: Taken = ((_RUNS, lambda found: found[0][0]),)
