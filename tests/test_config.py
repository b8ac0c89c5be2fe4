import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from agentd import config
from agentd.config import Duration, Section, Size, parse_duration, parse_path, parse_size, read_yaml, validate
from agentd.errors import BrokenTask, ConfigError


class Cache(Section):
    k: str = "q8_0"
    stall: Duration = 1.0


class Model(Section):
    path: str
    cache: Cache = Cache()
    context: int | str = "auto"


class Whole(Section):
    models: dict[str, Model] = Field({})
    watch: tuple[Cache, ...] = ()


FILE = Path("/home/me/config.yaml")


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        validate(read_yaml(text, FILE), Whole)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("model: {}", 1, "unknown key `model`: did you mean `models`?"),
        ("zzz: {}", 1, "unknown key `zzz`: the keys here are models, watch"),
        (
            "models:\n  main:\n    path: x\n    cach: {}",
            4,
            "unknown key `models.main.cach`: did you mean `cache`?",
        ),
        ("models:\n  main:\n    path: x\n    cache:\n      kk: 1", 5, "did you mean `k`?"),
        ("watch:\n- k: a\n-\n  stal: 2s", 4, "unknown key `watch.1.stal`: did you mean `stall`?"),
        # A model whose name is that of a key does not change which keys there are.
        ("models:\n  path:\n    path: x\n    cach: {}", 4, "did you mean `cache`?"),
        ("models:\n  cache:\n    path: x\n    contxt: 1", 4, "did you mean `context`?"),
        ("models:\n  main: {}", 2, "`models.main.path` is missing"),
        ("models:\n  main: 5", 2, "`models.main`: expected keys and values"),
        ("watch: 5", 1, "`watch`: expected a list"),
        ("watch:\n  - k: a\n    stall: 2", 3, "`watch.0.stall`: 2 is not a duration: write it like 30s, 5m or 2h"),
        (
            "models:\n  main:\n    path: x\n    context: [1]",
            4,
            "`models.main.context`: expected a whole number, or",
        ),
        ("- a list", 1, "expected keys and values"),
        ("models: {}\nwatch: []\nmodels: {}", 3, "the key `models` stands here twice"),
        ("models:\n  a: {path: x}\n  'a': {path: y}", 3, "the key `a` stands here twice"),
        ("models: {main: {path: x}\n", 2, "expected ',' or '}'"),
        ("watch: !!python/object/apply:os.system [ls]", 1, "could not determine a constructor"),
        ("a: 1\n---\nb: 2", 2, "but found another document"),
        ("a: 2001-99-99", 1, "not valid YAML"),
        ("? [a]\n: b", 1, "found unhashable key"),
        ("a: \0", 1, "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_would_be_right(text: str, line: int, told: str) -> None:
    message = error_of(text)
    assert message.startswith(f"{FILE}:{line}: ")
    assert told in message


def test_every_mistake_is_told_at_once_each_once_and_nothing_of_pydantic() -> None:
    message = error_of("zzz: 1\nmodels:\n  main: {context: [1]}\nwatch:\n  - stall: fast")
    assert [line.split(": ")[0].removeprefix(f"{FILE}:") for line in message.splitlines()] == ["3", "3", "5", "1"]
    assert not any(word in message for word in ("Input should", "function-before", "literal[", "pydantic"))


def test_the_lines_of_front_matter_are_those_of_its_file() -> None:
    with pytest.raises(BrokenTask, match=r"config\.yaml:3: unknown key"):
        validate(read_yaml("models: {}\nzzz: 1", FILE, first_line=2, error=BrokenTask), Whole)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: " + "[" * 200 + "]" * 200,
        "a: " + "[" * 20_000,
        "x" * (config.MAX_BYTES + 1),
        "a: " + "9" * 5000,
    ],
    ids=["alias bomb", "list in itself", "map in itself", "deep", "very deep", "large", "huge number"],
)
def test_a_bomb_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    assert str(FILE) in error_of(text)
    assert time.process_time() - started < 5


def test_an_alias_that_is_used_a_few_times_is_fine() -> None:
    text = "models:\n  a: &m {path: x}\n  b: *m\n  c: {<<: *m, context: 5}"
    found = validate(read_yaml(text, FILE), Whole)
    assert [(name, model.path, model.context) for name, model in found.models.items()] == [
        *(("a", "x", "auto"), ("b", "x", "auto"), ("c", "x", 5))
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_all_defaults(text: str) -> None:
    assert validate(read_yaml(text, FILE), Whole) == Whole()


@settings(max_examples=50)
@given(st.text(max_size=60) | st.text("ab:-[]{}&*!\n \"'#|>?,", max_size=60))
def test_no_text_gets_past_as_anything_but_a_section_or_a_config_error(text: str) -> None:
    try:
        found = validate(read_yaml(text, FILE), Whole)
    except ConfigError as error:
        assert error.message.startswith(f"{FILE}:")
    else:
        assert isinstance(found, Whole)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("250ms", 0.25), (" 1.5 h ", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", [30, "30", "s", "-5s", "1 week", "1e3s", "nans", "", None, True, "5s5s"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration: write it like 30s"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("20KiB", 20480), ("1.5MiB", 1572864), ("4GiB", 4 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("value", [5, "5", "5MB", "-1KiB", "", None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a size: write it like 512MiB"):
        parse_size(value)


@settings(max_examples=50)
@given(st.integers(0, 1 << 50))
def test_a_size_is_shown_so_that_it_can_be_read_again(size: int) -> None:
    shown = TypeAdapter(Size).dump_python(size)
    assert parse_size(shown) == size


@settings(max_examples=50)
@given(st.integers(0, 10**10))
def test_a_duration_is_shown_so_that_it_can_be_read_again(milliseconds: int) -> None:
    shown = TypeAdapter(Duration).dump_python(milliseconds / 1000)
    assert parse_duration(shown) == milliseconds / 1000


def test_a_path_is_absolute_with_its_variables_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("NOTES", "deep/notes")
    monkeypatch.chdir(tmp_path)
    assert parse_path("~/$NOTES/a") == Path("/home/me/deep/notes/a")
    assert parse_path("${NOTES}") == tmp_path / "deep/notes"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("$NOT_SET/a", "names a variable that is not set"),
        ("${NOT_SET}", "names a variable that is not set"),
        ("~nobody-of-that-name/a", "names a user who is not known here"),
        ("a\0b", "has a NUL character"),
        ("", "is not a path"),
        (5, "is not a path"),
    ],
)
def test_what_is_no_path_is_refused(value: object, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ValueError, match=told):
        parse_path(value)
