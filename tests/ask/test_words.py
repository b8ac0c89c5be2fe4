"""Which words carry meaning."""

import pytest

from agentd.ask.words import has_digit, missing_words, negates, terms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("When do I prune the pear tree?", ["prune", "pear", "tree"]),
        ("What is it?", []),
        ("", []),
        ("Tree, tree and TREE", ["tree"]),
        ("At 5 or at 12?", ["5", "12"]),
        ("x marks y", ["marks"]),
        ("the neighbour's well-known Äpfel", ["neighbour's", "well-known", "äpfel"]),
        ('"AND" OR (NOT near*) -- ; DROP TABLE', ["near", "drop", "table"]),
    ],
)
def test_the_telling_words_of_a_text(text: str, words: list[str]) -> None:
    assert terms(text) == words


@pytest.mark.parametrize(
    ("words", "text", "missing"),
    [
        (["planted"], "Planting is done in May.", []),
        (["trees"], "One tree.", []),
        (["tree"], "Trees!", []),
        (["12"], "It costs 120.", ["12"]),
        (["120"], "It costs 120.", []),
        (["2026-05-04"], "On 2026-05-04.", []),
        (["pear", "plum"], "A pear.", ["plum"]),
        (["pear"], "", ["pear"]),
    ],
)
def test_a_word_is_missing_unless_a_form_of_it_is_there(words: list[str], text: str, missing: list[str]) -> None:
    assert missing_words(words, text) == missing


@pytest.mark.parametrize(("word", "figure"), [("12", True), ("v2", True), ("twelve", False), ("", False)])
def test_a_figure_is_told_by_its_digits(word: str, figure: bool) -> None:
    assert has_digit(word) is figure


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        ("It does not run.", True),
        ("Nobody knows.", True),
        ("It can’t.", True),
        ("A notable knot.", False),
        ("", False),
    ],
)
def test_a_denial_is_noticed(text: str, denial: bool) -> None:
    assert negates(text) is denial
