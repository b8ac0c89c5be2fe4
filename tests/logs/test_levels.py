"""Levels: many words, letters and numbers, and seven names."""

import pytest

from agentd.logs import levels


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("SEVERE", "error"),
        ("Warning", "warn"),
        ("EMERG", "fatal"),
        ("E", "error"),
        ("LOG", "info"),
        ("banana", ""),
    ],
)
def test_a_word_means_a_level(word: str, level: str) -> None:
    assert levels.of_word(word) == level


@pytest.mark.parametrize(("priority", "level"), [(34, "fatal"), (3, "error"), (30, "info"), (191, "debug")])
def test_a_priority_holds_a_level(priority: int, level: str) -> None:
    assert levels.of_priority(priority) == level


@pytest.mark.parametrize(("number", "level"), [(50, "error"), (3, "error"), (10, "trace"), (99, ""), (-1, "")])
def test_a_number_means_a_level(number: int, level: str) -> None:
    assert levels.of_number(number) == level


@pytest.mark.parametrize(
    ("status", "level"), [("502", "error"), ("404", "warn"), ("200", "info"), ("304", "info")]
)
def test_an_answer_has_a_level(status: str, level: str) -> None:
    assert levels.of_status(status) == level
