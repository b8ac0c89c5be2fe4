"""Markdown: the front matter apart from the text. What the front matter says is not read here."""

import re
import shlex

from agentd.errors import UnclosedFrontMatter
from agentd.readers.passages import split_lines

_KEY = re.compile(r"\s*[\w\"'-][^:#]*:(\s|$)")
_SAYS_NOTHING = re.compile(r"\s*(#|$)")


def split_front_matter(text: str, source: str) -> tuple[str, str, int]:
    """The front matter, the text after it, and the line of the file on which that begins.

    A first line of `---` opens front matter when a key follows; otherwise it is a rule and belongs to the text.
    Between the two may be comments and blank lines where the header has an end. Raises `UnclosedFrontMatter` where
    it has none.
    """
    lines = split_lines(text)
    if not lines or lines[0].rstrip() != "---":
        return "", text, 1
    said = next((index for index, line in enumerate(lines[1:], start=1) if not _SAYS_NOTHING.match(line)), 0)
    if not said or not (_KEY.match(lines[said]) or lines[said].rstrip() in ("---", "...")):
        return "", text, 1
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return "".join(lines[1:index]), "".join(lines[index + 1 :]), index + 2
    if said > 1:
        return "", text, 1
    raise UnclosedFrontMatter(
        f"{source}:1: the front matter opened by `---` is never closed: add a line `---` after its last key",
        hint=f"${{EDITOR:-vi}} {shlex.quote(source)}",
    )
