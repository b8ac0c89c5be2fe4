"""Where a quote stands in a text: found by its words, whatever white space is between them."""

import re


def find_quote(text: str, quote: str, start: int = 0) -> tuple[int, int] | None:
    """The bounds of the first `quote` in `text` from `start` on, or else anywhere; None where it is not there."""
    words = quote.split()
    if not words:
        return None
    pattern = re.compile(r"\s+".join(map(re.escape, words)))
    match = pattern.search(text, start) or pattern.search(text)
    return match.span() if match else None


def line_at(text: str, position: int) -> int:
    """The line of a position in a text, from 1."""
    return text.count("\n", 0, position) + 1
