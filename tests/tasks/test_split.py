"""Parts of a document: together they are the text, and each ends where the text lets it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.records import Place
from agentd.tasks.split import split_document, split_part
from tests.tasks.conftest import document

PIECES = st.sampled_from(
    ["word ", "A sentence. ", "\n", "\n\n", "# Heading\n", "x" * 70, "é\n", "```\ncode\n```\n"]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


@given(TEXTS, st.integers(1, 120), st.lists(st.integers(1, 30), max_size=5))
@settings(max_examples=200)
def test_parts_are_the_text_each_piece_once_with_the_right_lines(text: str, size: int, lines: list[int]) -> None:
    whole = document(text)
    places = tuple(Place(line, f"page {number}") for number, line in enumerate(sorted({1, *lines}), 1))
    for given_document in (whole, document(text).__class__(whole.source, whole.content, text, places=places)):
        parts = split_document(given_document, size)
        assert "".join(part.text for part in parts) == text
        before = ""
        for part in parts:
            assert 0 < len(part.text) <= size
            assert part.line == 1 + before.count("\n")
            before += part.text


@given(TEXTS.filter(lambda text: len(text) > 1))
@settings(max_examples=50)
def test_a_part_that_is_too_large_is_cut_again(text: str) -> None:
    (part,) = split_document(document(text), len(text))
    smaller = split_part(part)
    assert len(smaller) >= 2
    assert "".join(one.text for one in smaller) == text


def test_a_part_ends_at_a_heading_rather_than_in_a_paragraph() -> None:
    text = "Some words of the first.\n\nAnd more of it.\n# Second\nIts text goes on and on.\n"
    parts = split_document(document(text), 60)
    assert [part.text.splitlines()[0] for part in parts] == ["Some words of the first.", "# Second"]


def test_pages_stay_whole_where_they_fit() -> None:
    text = "one one one\ntwo two two\n\nthree three\nfour\n"
    paged = document(text)
    places = tuple(Place(line, f"page {line}") for line in (1, 2, 4, 5))
    parts = split_document(paged.__class__(paged.source, paged.content, text, places=places), 26)
    assert [(part.line, part.text) for part in parts] == [
        (1, "one one one\ntwo two two\n\n"),
        (4, "three three\nfour\n"),
    ]
