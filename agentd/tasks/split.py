"""Cut a long document into parts where its structure lets it: pages, headings, paragraphs, sentences, words.

The parts together are the text: nothing is lost, nothing is in two of them. How large a part may be is told in
characters; whether it then fits a model, whoever asks finds out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentd.records import Document

# Where a text may be cut, the best places first; the cut is after the match.
_CUTS = (
    re.compile(r"\n(?=#{1,6} \S)"),  # before a heading
    re.compile(r"\n[ \t]*\n"),  # after a paragraph
    re.compile(r"\n"),
    re.compile(r"[.!?][ \t]+"),
    re.compile(r"\s"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a document's text; its first line is line `line` of that text, from 1."""

    line: int
    text: str

    @property
    def last_line(self) -> int:
        """The line of the document's text on which it ends."""
        return self.line + self.text.rstrip("\n").count("\n")


def split_document(document: Document, size: int) -> list[Part]:
    """The parts of a document, each of at most `size` characters (at least 1)."""
    return _number(list(_pack(_sections(document), size)), 1)


def split_part(part: Part) -> list[Part]:
    """A part in two or more, where its structure lets it; a part of one character stays one."""
    return _number(list(_pack([part.text], max(len(part.text) // 2, 1))), part.line)


def _sections(document: Document) -> Iterator[str]:
    """The text between the places of a document, such as its pages."""
    ends = [place.line - 1 for place in document.places[1:] if place.line > 1]
    lines = re.split(r"(?<=\n)", document.text)
    start = 0
    for end in dict.fromkeys([*ends, len(lines)]):
        if section := "".join(lines[start:end]):
            yield section
        start = end


def _pack(sections: Sequence[str] | Iterator[str], size: int) -> Iterator[str]:
    """As many whole sections as fit at a time; one that does not fit is cut."""
    packed = ""
    for section in sections:
        if packed and len(packed) + len(section) > size:
            yield packed
            packed = ""
        packed += section
        while len(packed) > size:
            cut = _cut(packed, size)
            yield packed[:cut]
            packed = packed[cut:]
    if packed:
        yield packed


def _cut(text: str, size: int) -> int:
    """The last good place to cut a text at or before `size`, but not so early that parts become tiny."""
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, size // 2, size)]
        if ends:
            return ends[-1]
    return size


def _number(texts: Sequence[str], line: int) -> list[Part]:
    parts = []
    for text in texts:
        parts.append(Part(line, text))
        line += text.count("\n")
    return parts
