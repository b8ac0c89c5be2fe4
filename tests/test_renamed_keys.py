"""Keys of the config that had another name in an earlier version."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from agentd.config import Section, read_yaml, validate
from agentd.errors import ConfigError

FILE = Path("/home/me/config.yaml")


class Cache(Section):
    renamed: ClassVar[Mapping[str, str]] = {"keys": "k"}

    k: str = "q8_0"


class Model(Section):
    renamed: ClassVar[Mapping[str, str]] = {"ctx": "context", "kv": "cache", "length": "context"}

    cache: Cache = Cache()
    context: int = 0


class Whole(Section):
    renamed: ClassVar[Mapping[str, str]] = {"folders": "watch"}

    models: dict[str, Model] = Field({})
    watch: tuple[Cache, ...] = ()


def read(text: str) -> tuple[Whole, list[str]]:
    warnings: list[str] = []
    return validate(read_yaml(text, FILE), Whole, warnings.append), warnings


def test_a_key_by_its_old_name_is_taken_and_told_with_its_line() -> None:
    found, warnings = read("models:\n  main:\n    ctx: 5\n    kv:\n      keys: f16\nfolders:\n  - keys: f32\n")
    assert found == Whole(models={"main": Model(context=5, cache=Cache(k="f16"))}, watch=(Cache(k="f32"),))
    assert warnings == [
        f"{FILE}:3: `models.main.ctx` is called `context` now",
        f"{FILE}:4: `models.main.kv` is called `cache` now",
        f"{FILE}:5: `models.main.kv.keys` is called `k` now",
        f"{FILE}:6: `folders` is called `watch` now",
        f"{FILE}:7: `folders.0.keys` is called `k` now",
    ]


def test_a_key_by_todays_name_gives_no_warning() -> None:
    assert read("models: {main: {context: 5, cache: {k: f16}}}") == (
        Whole(models={"main": Model(context=5, cache=Cache(k="f16"))}),
        [],
    )


def test_an_old_name_counts_only_where_it_was_one() -> None:
    found, warnings = read("models:\n  ctx: {context: 1}\n")
    assert (list(found.models), warnings) == (["ctx"], []), "here it is the name of a model"
    with pytest.raises(ConfigError, match="unknown key `ctx`"):
        read("ctx: 5\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "models:\n  main:\n    context: 1\n    ctx: 2\n",
            "4: `models.main.ctx` is called `context` now, and both",
        ),
        (
            "models:\n  main:\n    ctx: 2\n    context: 1\n",
            "3: `models.main.ctx` is called `context` now, and both",
        ),
        (
            "models:\n  main:\n    ctx: 2\n    length: 1\n",
            "4: `models.main.length` is called `context` now, and both",
        ),
    ],
)
def test_both_names_of_a_key_are_a_mistake(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert f"{FILE}:{told} stand here: remove it" in refused.value.message


def test_a_mistake_inside_a_renamed_key_is_told_with_its_line_and_todays_name() -> None:
    with pytest.raises(ConfigError) as refused:
        read("models:\n  main:\n    ctx: x\n    kv:\n      key: f16\n")
    assert refused.value.message.splitlines() == [
        f"{FILE}:5: unknown key `models.main.cache.key`: the keys here are k",
        f"{FILE}:3: `models.main.context`: expected a whole number",
    ]
