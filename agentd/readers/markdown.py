"""Markdown: the front matter apart from the text. What the front matter says is not read here."""

import re
import shlex

from agentd.errors import UnclosedFrontMatter
from agentd.readers.passages import split_lines

_KEY = re.compile(r"\s*[\w\"'-][^:#]*:(\s|$)")


def split_front_matter(text: str, source: str) -> tuple[str, str, int]:
    """The front matter, the text after it, and the line of the file on which that begins.

    A first line of `---` opens front matter when a key follows; otherwise it is a rule and belongs to the text.
    Raises `UnclosedFrontMatter` where the header has no end.
    """
    lines = split_lines(text)
    if not lines or lines[0].rstrip() != "---":
        return "", text, 1
    if len(lines) < 2 or not (_KEY.match(lines[1]) or lines[1].rstrip() in ("---", "...")):
        return "", text, 1
    for index, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return "".join(lines[1:index]), "".join(lines[index + 1 :]), index + 2
    raise UnclosedFrontMatter(
        f"{source}:1: the front matter opened by `---` is never closed: add a line `---` after its last key",
        hint=f"${{EDITOR:-vi}} {shlex.quote(source)}",
    )
