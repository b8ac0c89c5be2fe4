"""Passages: pieces of a text that together are the text, each with its line."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.readers.passages import MOST, split_lines, split_passages

LINES = st.one_of(
    st.just(""),
    st.text(alphabet="ab \t\r\x0c\x85\u2028é", max_size=20),
    st.integers(1, 250).map(lambda count: "word " * count),
    st.integers(600, 1600).map(lambda count: "x" * count),
)
TEXTS = st.lists(LINES, max_size=12).map("\n".join)


@given(TEXTS, st.integers(1, 50))
@settings(max_examples=80)
def test_passages_are_the_text_with_the_right_lines(text: str, first_line: int) -> None:
    passages = list(split_passages(text, first_line))
    assert "".join(passage.text for passage in passages) == text
    before = ""
    for passage in passages:
        assert 0 < len(passage.text) <= MOST
        assert passage.line == first_line + before.count("\n")
        before += passage.text


@given(TEXTS)
@settings(max_examples=50)
def test_lines_end_at_line_feeds_alone(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.count("\n") == line.endswith("\n") for line in lines)


def test_a_passage_ends_at_a_blank_line_once_it_is_long_enough() -> None:
    paragraph = "A sentence of some words. " * 13 + "\n"
    passages = list(split_passages(paragraph + "\n" + paragraph + "\nshort\n\nshort\n"))
    assert [passage.line for passage in passages] == [1, 3, 5]
    assert passages[2].text == "short\n\nshort\n"


def test_a_long_line_is_cut_at_a_space() -> None:
    passages = list(split_passages("word " * 300))
    assert all(passage.text.endswith(" ") and passage.line == 1 for passage in passages)
