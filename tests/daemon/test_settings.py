from pathlib import Path

import pytest
import yaml

from agentd.conditions import When
from agentd.daemon.settings import Config, load_config
from agentd.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def error_of(paths_config: Path, text: str | bytes) -> str:
    paths_config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(paths_config)
    assert caught.value.hint
    return caught.value.message


def test_no_config_is_all_defaults(tmp_path: Path) -> None:
    config = load_config(tmp_path / "none.yaml")
    assert config == Config()
    assert config.models["main"].path == "starter"
    assert str(config.models["main"].kv_cache) == "auto/auto"


def test_the_example_is_valid_and_its_values_are_the_defaults() -> None:
    example = load_config(EXAMPLE)
    assert example.models == Config().models
    (watch,) = example.watch
    bare = Config.model_validate({"watch": [{"path": "~/Notes", "task": "note-tagging"}]}).watch[0]
    assert watch == bare
    assert "tags" in example.vocabularies


def test_the_example_says_every_key_there_is() -> None:
    written = yaml.safe_load(EXAMPLE.read_text())
    config = load_config(EXAMPLE)
    assert set(written) == set(Config.model_fields)
    model = type(config.models["main"]).model_fields
    assert set(written["models"]["main"]) == {field.alias or name for name, field in model.items()}
    assert set(written["watch"][0]) == set(type(config.watch[0]).model_fields)
    for when in (written["watch"][0]["when"], *written["when"].values()):
        assert set(when) == set(When.model_fields)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("models:\n  main:\n    contxt: 5", 3, "did you mean `context`?"),
        ("models:\n  main:\n    kv_cache: {key: q8_0}", 3, "unknown key `models.main.kv_cache.key`"),
        ("models:\n  path:\n    contxt: 5", 3, "did you mean `context`?"),
        ("models: {}", 1, "there is no model"),
        (
            "models:\n  a: {use: embeddings}\n  b: {use: embeddings}\n  main: {}",
            1,
            "a and b are all for embeddings",
        ),
        ("models:\n  a: {use: embeddings}", 1, "there is no model for tasks"),
        ("models:\n  a: {use: embeddings, parallel: 4}", 2, "a model for embeddings has no `parallel`"),
        ("models:\n  a: {use: embedding}", 2, "expected 'text' or 'embeddings'"),
        ("models:\n  main: {memory: 5}", 2, "5 is not a size: write it like 512MiB or 4GiB, or expected 'auto'"),
        ("models:\n  main: {path: $NOT_SET/m.gguf}", 2, "names a variable that is not set"),
        ("watch:\n  - path: ~/a\n    task: t\n  - path: ~/b", 4, "`watch.1.task` is missing"),
        ("watch:\n  - path: ~/a\n    task: t\n    setle: 5s", 4, "did you mean `settle`?"),
        (
            "schedule:\n- task: t\n  every: 1h\n  input: {folder: /a, inclde: [x]}",
            4,
            "unknown key `schedule.0.input.inclde`: did you mean `include`?",
        ),
        ("watch:\n  - path: ~/a\n    task: t\n    include:\n      - '*.md'\n      - 5", 6, "`watch.0.include.1`"),
        ("watch:\n  - path: ~/a\n    task: t\n    existing: skipp", 4, "expected 'process' or 'skip'"),
        ("vocabularies:\n  tags:\n    - Python", 2, "'Python' is not a tag"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    file = tmp_path / "config.yaml"
    message = error_of(file, text)
    assert message.startswith(f"{file}:{line}: ")
    assert told in message


@pytest.mark.parametrize(
    ("raw", "told"), [(b"models: \xff", "is not valid UTF-8"), (b"a: \x00", "not valid YAML")]
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, raw: bytes, told: str) -> None:
    assert told in error_of(tmp_path / "config.yaml", raw)


def test_a_folder_in_place_of_the_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize("other", ["~/Notes", "~/Notes/sub", "~/"])
def test_two_watches_of_one_task_must_take_files_in_the_same_way(tmp_path: Path, other: str) -> None:
    def text(task: str) -> str:
        return (
            f"watch:\n  - {{path: ~/Notes, task: summarise}}\n  - {{path: {other}, task: {task}, per: folder}}\n"
        )

    assert "who takes a file would be chance" in error_of(tmp_path / "config.yaml", text("summarise"))
    (tmp_path / "config.yaml").write_text(text("meeting-notes"))
    assert len(load_config(tmp_path / "config.yaml").watch) == 2


def test_a_mode_without_a_burst_is_named(tmp_path: Path) -> None:
    told = error_of(tmp_path / "config.yaml", "watch:\n  - {path: ~/Notes, task: summarise, mode: restart}\n")
    assert "it goes with `per: folder`" in told


def test_conditions_are_found_wherever_a_section_has_them(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "watch:\n  - {path: /n, task: t, when: {on_ac: true}}\n  - {path: /m, task: t}\n"
        "logs:\n  - {journald: {}, when: {hours: 22:00-06:00}}\n"
    )
    found = load_config(file).conditions()
    assert {origin: [when.asks for when in whens] for origin, whens in found.items()} == {
        "watch /n t": [{"on_ac"}],
        "log journal": [{"hours"}],
    }
    assert "did you mean `hours`?" in error_of(file, "when:\n  backfill: {hour: 22:00-06:00}")
    assert "the keys here are triggered, backfill" in error_of(file, "when: {interactive: {on_ac: true}}")
