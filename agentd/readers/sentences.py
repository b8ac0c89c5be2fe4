"""Sentences of a text, and where they stand in it, told by punctuation and layout alone."""

import re
import textwrap

LONGEST = 400  # characters of a sentence; legal prose has longer ones, tables and word lists have no stops at all
LONGEST_HEADING = 8  # words; a longer line without a stop is a sentence that lacks one

# Where a sentence ends: after its stop, at a blank line, after a heading or an underline, before a list item.
_BREAK = re.compile(r"(?<=[.!?])\s+(?=[^a-z])|\n\s*\n|(?<=[-=]{3})\n|\n(?=[-=]{3})|\n(?=\s*(?:[-*#>]|\d+[.)])\s)")
_WORD = re.compile(
    r"[^\W\d_]{2}"
)  # the number of a list item, which its text may follow on another line, has none
_LIST_ITEM = re.compile(r"(?:[-*>]|\d+[.)])\s")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, white space folded; headings and list items are sentences of their own.

    What has no stop for longer than `LONGEST` characters is cut at a space.
    """
    return [piece for part in _BREAK.split(text) for piece in _wrap(flat(part))]


def _wrap(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, LONGEST, break_on_hyphens=False)


def is_heading(sentence: str) -> bool:
    """Whether this is a heading or a rule, which names things and says nothing."""
    if sentence.startswith("#") or not _WORD.search(sentence):
        return True
    ended = sentence[-1] in '.!?:;)`"”' or _LIST_ITEM.match(sentence)
    return not ended and len(sentence.split()) <= LONGEST_HEADING


def said_in(text: str) -> list[str]:
    """The sentences that say something, each once, in order; headings only where there is nothing else."""
    sentences = list(dict.fromkeys(split_sentences(text)))
    return [sentence for sentence in sentences if not is_heading(sentence)] or sentences


def widen(text: str, begin: int, end: int) -> tuple[int, int]:
    """The bounds of the whole sentences around `text[begin:end]`."""
    ends = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    first = max(position for position in ends if position <= begin)
    last = min(position for position in ends if position >= end)
    return first, last


def flat(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())
