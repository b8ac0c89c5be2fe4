"""Sentences, headings and lists."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.readers.sentences import flat, is_heading, said_in, split_sentences, widen


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("One goes\nover two lines. Two.", ["One goes over two lines.", "Two."]),
        ("Use e.g. a spade. Dig.", ["Use e.g. a spade.", "Dig."]),
        ("Version 3.14 is out.", ["Version 3.14 is out."]),
        ("# Heading\n\nText.", ["# Heading", "Text."]),
        ("Title\n=====\nText.", ["Title", "=====", "Text."]),
        ("Buy:\n- milk\n- eggs and\n  bread\n1. salt", ["Buy:", "- milk", "- eggs and bread", "1. salt"]),
        (" \n\n ", []),
    ],
)
def test_a_text_falls_into_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@pytest.mark.parametrize(
    ("sentence", "heading"),
    [
        ("# Pears", True),
        ("Pears", True),
        ("-----", True),
        ("Prune them in March.", False),
        ("- milk", False),
        ("2) salt", False),
        ("a line of more than eight words without a stop", False),
        ("He said (twice)", False),
    ],
)
def test_a_heading_names_and_says_nothing(sentence: str, heading: bool) -> None:
    assert is_heading(sentence) is heading


def test_what_is_said_leaves_out_headings_unless_there_is_nothing_else() -> None:
    assert said_in("# Pears\n\nPrune. Feed. Prune.") == ["Prune.", "Feed."]
    assert said_in("# Pears") == ["# Pears"]


@given(st.text(alphabet="aB. \n-#!", max_size=60), st.data())
@settings(max_examples=60)
def test_widening_holds_what_it_was_given_and_ends_at_sentences(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    wide = widen(text, begin, end)
    assert wide[0] <= begin <= end <= wide[1]
    assert widen(text, *wide) == wide
    assert flat(text[slice(*wide)]) in flat(text)


def test_numbers_that_stand_alone_say_nothing() -> None:
    assert said_in("1.\n\nThe first rule holds.\n\n2.\n\nSo does the second one.\n") == [
        "The first rule holds.",
        "So does the second one.",
    ]
