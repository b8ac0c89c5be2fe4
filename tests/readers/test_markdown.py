"""Front matter, and what only looks like it."""

import pytest

from agentd.errors import UnclosedFrontMatter
from agentd.readers.markdown import split_front_matter


@pytest.mark.parametrize(
    ("text", "front_matter", "body", "line"),
    [
        ("# Title\n", "", "# Title\n", 1),
        ("---\na: b\n---\nText\n", "a: b\n", "Text\n", 4),
        ("---\na: b\n...\nText\n", "a: b\n", "Text\n", 4),
        ("---\n---\nText\n", "", "Text\n", 3),
        ("--- \r\na: b\r\n--- \r\nText\r\n", "a: b\r\n", "Text\r\n", 4),
        ("---\n'a b': c\n---\n", "'a b': c\n", "", 4),
        ("---\na: b\n---", "a: b\n", "", 4),
        # A rule at the beginning is text.
        ("---\n\nText\n\n---\n", "", "---\n\nText\n\n---\n", 1),
        ("---\nJust a sentence.\n", "", "---\nJust a sentence.\n", 1),
        ("---\n# Heading: one\n", "", "---\n# Heading: one\n", 1),
        ("---\nsee http://example.org\n", "", "---\nsee http://example.org\n", 1),
        ("---", "", "---", 1),
        ("----\na: b\n----\n", "", "----\na: b\n----\n", 1),
        (" ---\na: b\n---\n", "", " ---\na: b\n---\n", 1),
        ("\n---\na: b\n---\n", "", "\n---\na: b\n---\n", 1),
        ("---\na: form\x0cfeed\n---\nText\n", "a: form\x0cfeed\n", "Text\n", 4),
    ],
)
def test_front_matter_is_told_from_text(text: str, front_matter: str, body: str, line: int) -> None:
    assert split_front_matter(text, "a.md") == (front_matter, body, line)
    assert text.endswith(body)


@pytest.mark.parametrize("text", ["---\na: b\n", "---\na: b\n\nText\n ---\n", "---\na: b\n----\n"])
def test_front_matter_that_never_ends_is_refused(text: str) -> None:
    with pytest.raises(UnclosedFrontMatter, match=r"notes/a\.md:1: .* add a line"):
        split_front_matter(text, "notes/a.md")
