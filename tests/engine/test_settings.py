"""The `models` section."""

from pathlib import Path
from typing import Any

import pytest

from agentd.config import read_yaml, validate
from agentd.engine.settings import ModelSettings
from agentd.errors import ConfigError


def read(text: str) -> ModelSettings:
    return validate(read_yaml(text, Path("config.yaml")), ModelSettings)


@pytest.mark.parametrize("side", ["k", "v"])
def test_a_kv_type_that_llama_cpp_does_not_take_is_refused_with_the_list(side: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(f"path: starter\nkv_cache:\n  {side}: q6_k\n")
    assert refused.value.message.startswith("config.yaml:3: ")
    for name in ("f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"):
        assert name in refused.value.message


@pytest.mark.parametrize(
    "text",
    ["context: 0", "context: -1", "context: some", "threads: 0", "gpu_layers: -1", "gpu_layers: most", "stall: 3",
     "memory: lots", "contxt: 5"],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml:2: .*" + text.split(":")[0]):
        read(f"path: starter\n{text}\n")


def test_the_defaults_leave_it_to_what_the_machine_has() -> None:
    settings = read("{}")
    assert (settings.path, str(settings.kv_cache), settings.context) == ("starter", "auto/auto", "auto")
    assert (settings.gpu_layers, settings.threads, settings.memory) == ("auto", "auto", "auto")


@pytest.mark.parametrize(
    "values",
    [{}, {"path": "~/a.gguf", "context": 512, "memory": "1GiB", "stall": "90s", "kv_cache": {"k": "f16"}}],
)
def test_settings_reach_the_child_unchanged(values: dict[str, Any]) -> None:
    settings = ModelSettings.model_validate(values)
    assert ModelSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_a_path_is_expanded_and_the_two_names_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/srv/models")
    assert ModelSettings(path="$MODELS/a.gguf").file == Path("/srv/models/a.gguf")
    assert ModelSettings(path="starter").file is None
    assert ModelSettings(path="fake").file is None


def test_off_is_off_though_yaml_takes_it_for_false() -> None:
    assert read("repack: off").repack == read("repack: 'off'").repack == "off"
    with pytest.raises(ConfigError, match="repack"):
        read("repack: on")
