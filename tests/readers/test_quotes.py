"""Quotes are found by whole lines or words, whatever white space is between them."""

import pytest

from agentd.readers.quotes import find_quote, line_at

CODE = "max = 10\n\n  x  = 1\nx = 12\n"


def found(text: str, quote: str, start: int = 0, *, by_line: bool = False) -> str | None:
    bounds = find_quote(text, quote, start, by_line=by_line)
    return text[slice(*bounds)] if bounds else None


def test_a_line_of_code_is_not_found_within_another() -> None:
    bounds = find_quote(CODE, "x = 1", by_line=True)
    assert bounds
    assert line_at(CODE, bounds[0]) == 3
    assert CODE[slice(*bounds)] == "x  = 1"


def test_a_line_that_follows_is_found_before_one_above() -> None:
    text = "end\nif a:\nend\nend of it\n"
    bounds = find_quote(text, "end", 5, by_line=True)
    assert bounds
    assert line_at(text, bounds[0]) == 3
    assert find_quote(text, "if a:", 8, by_line=True) == (4, 9)


@pytest.mark.parametrize(
    ("text", "quote", "at"),
    [
        ("The start. He art.\nArt.", "art.", 14),
        ("They saw\nthe sea, the seas", "saw  the sea", 5),
        ("- plan\n(x) plan", "(x) plan", 7),
    ],
)
def test_words_are_whole(text: str, quote: str, at: int) -> None:
    bounds = find_quote(text, quote)
    assert bounds
    assert bounds[0] == at


@pytest.mark.parametrize("by_line", [False, True])
def test_a_quote_that_was_cut_is_found_too(by_line: bool) -> None:
    assert found("一二三四五六", "二三", by_line=by_line) == "二三"
    assert found("one two three", "two", by_line=by_line) == "two"
    assert find_quote("one", "two", by_line=by_line) is None
    assert find_quote("one", " ", by_line=by_line) is None
