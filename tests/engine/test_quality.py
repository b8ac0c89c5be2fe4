from typing import Any

import pytest

from agentd.engine.quality import compare_choices, why_different, why_worse

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["note", "list"]},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}},
        "title": {"type": "string"},
        "where": {"type": "object", "properties": {"room": {"enum": [1, 2, None]}}},
    },
}


def compare(answer: str, *references: str) -> tuple[int, int]:
    return compare_choices([SCHEMA], [[reference] for reference in references], [answer])


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ('{"kind": "note", "title": "x"}', '{"kind": "note", "title": "y"}', (1, 1)),
        ('{"kind": "list"}', '{"kind": "note"}', (0, 1)),
        ('{"tags": ["a", "b"]}', '{"tags": ["b", "a"]}', (2, 2)),
        ('{"tags": ["a", "a", "c"]}', '{"tags": ["a", "b", "c"]}', (2, 3)),
        ('{"tags": ["a", "a"]}', '{"tags": ["a"]}', (1, 1)),
        ('{"where": {"room": null}}', '{"where": {"room": null}, "kind": "note"}', (1, 2)),
        ('{"kind": "no', '{"kind": "note"}', (0, 1)),
        ('{"kind": "note"}', '{"kind": "no', (0, 0)),
        ("[1]", "7", (0, 0)),
        ('{"title": "a"}', '{"title": "b"}', (0, 0)),
    ],
)
def test_choices_are_compared_place_by_place(answer: str, reference: str, expected: tuple[int, int]) -> None:
    assert compare(answer, reference) == expected


def test_a_choice_that_the_reference_does_not_make_twice_does_not_count() -> None:
    assert compare('{"kind": "list"}', '{"kind": "note"}', '{"kind": "list"}') == (0, 0)
    assert compare('{"tags": ["a", "c"]}', '{"tags": ["a", "b"]}', '{"tags": ["a", "c"]}') == (1, 1)


def test_free_text_has_no_choices() -> None:
    assert compare_choices([None, SCHEMA], [["a", '{"kind": "note"}']], ["b", '{"kind": "note"}']) == (1, 1)


def test_the_bounds() -> None:
    assert why_worse(1.0) == why_worse(1.01) == why_worse(0.7) == ""
    assert why_worse(1.0101) == "perplexity +1.0 %"
    assert why_worse(1.2361) == "perplexity +23.6 %"
    assert why_different(19, 20, answers=12) == why_different(0, 0, answers=30) == ""
    assert why_different(18, 20, answers=12) == "only 18 of 20 choices equal"
    assert why_different(20, 20, answers=11) == "11 answers are too few to compare, 12 are needed"
