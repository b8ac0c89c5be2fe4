"""Golden examples: how near an output is to what was expected."""

from pathlib import Path
from typing import Any

import pytest

from agentd.errors import BrokenTask, NotFound
from agentd.tasks.examples import read_examples, score, score_fields
from agentd.tasks.library import shipped_tasks

SCORES: list[tuple[Any, Any, float]] = [
    ("invoice", "Invoice ", 1.0),
    ("invoice", "letter", 0.0),
    (3, 3.0, 1.0),
    (True, 1, 0.0),
    (None, None, 1.0),
    (["a", "b"], ["b", "a"], 1.0),
    (["a", "b"], ["b", "c"], 1 / 3),
    ([], [], 1.0),
    ([], ["a"], 0.0),
    (["a"], "a", 0.0),
    ({"words": ["Bridge", "river"]}, "the bridge", 0.5),
    ({"value": 5, "currency": "EUR"}, {"value": 5.0, "currency": "USD", "quote": "x"}, 0.5),
    ({"value": 5}, None, 0.0),
    ([{"quote": "a", "owner": "Ben"}], [{"quote": "b"}, {"quote": "a", "owner": "Ben", "more": 1}], 1.0),
    ([{"quote": "a"}, {"quote": "z"}], [{"quote": "a"}], 0.5),
    ([{"quote": "a"}], [], 0.0),
]


@pytest.mark.parametrize(("expected", "value", "near"), SCORES)
def test_a_value_is_near_to_what_was_expected(expected: Any, value: Any, near: float) -> None:
    assert score(expected, value) == pytest.approx(near)


def test_fields_are_scored_apart_and_a_missing_output_scores_nothing() -> None:
    scores = score_fields([({"a": 1, "b": 2}, {"a": 1, "b": 3}), ({"a": 1}, None)])
    assert [(one.field, one.score, one.examples) for one in scores] == [("a", 0.5, 2), ("b", 0.0, 1)]


@pytest.mark.parametrize("file", sorted(shipped_tasks().glob("*.examples.yaml")), ids=lambda file: file.name)
def test_the_shipped_examples_can_be_read(file: Path) -> None:
    assert read_examples(file.with_name(file.name.replace(".examples.yaml", ".md"))).examples


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("examples: []\n", "tag.examples.yaml:1"),
        ("examples:\n  - text: x\n    expct: {a: 1}\n", "tag.examples.yaml:3: unknown key"),
        (
            "vocabularies: {tags: [A]}\nexamples: [{text: x, expect: {a: 1}}]\n",
            "tag.examples.yaml:1: 'A' is not a tag",
        ),
        ("examples: [", "tag.examples.yaml:1"),
    ],
)
def test_a_mistake_names_its_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tag.examples.yaml").write_text(text)
    with pytest.raises(BrokenTask) as broken:
        read_examples(tmp_path / "tag.md")
    assert told in broken.value.message


def test_a_task_without_examples_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the task tag has no examples"):
        read_examples(tmp_path / "tag.md")
