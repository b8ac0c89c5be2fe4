"""Where a quote stands in a text: found by its words, whatever white space is between them."""

import re

_WITHIN = r"[^\S\n]"  # white space that ends no line


def find_quote(text: str, quote: str, start: int = 0, *, by_line: bool = False) -> tuple[int, int] | None:
    """The bounds of the first `quote` in `text` from `start` on, or else anywhere; None where it is not there.

    Whole words are looked for before parts of words, `by_line` whole lines before both: `x = 1` is not in
    `max = 10`. What was cut to be shown may end within a word, and is found all the same.
    """
    words = [re.escape(word) for word in quote.split()]
    if not words:
        return None
    said = r"\s+".join(words)
    patterns = [rf"(?<!\w)({said})(?!\w)", f"({said})"]
    if by_line:
        patterns.insert(0, rf"(?m)^{_WITHIN}*({f'{_WITHIN}+'.join(words)}){_WITHIN}*$")
    for pattern in map(re.compile, patterns):
        if match := pattern.search(text, start) or pattern.search(text):
            return match.span(1)
    return None


def line_at(text: str, position: int) -> int:
    """The line of a position in a text, from 1."""
    return text.count("\n", 0, position) + 1
