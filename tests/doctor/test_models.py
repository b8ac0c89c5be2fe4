from pathlib import Path
from typing import Any

import pytest

from agentd.doctor.models import check_fit, check_models, judge_build, judge_fit
from agentd.engine.estimate import Device
from agentd.engine.preview import Held, Preview, preview
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import stamp
from agentd.errors import EngineCrashed
from agentd.model import DeviceMemory
from agentd.store import checksums
from agentd.store.database import Store
from tests.doctor.conftest import FindHome, levels, told

GIB = 1024**3
CPU = Device("CPU", "a processor", "cpu", 8 * GIB, 16 * GIB)
GPU = Device("CUDA0", "a card", "gpu", 24 * GIB, 24 * GIB)


def found(*devices: Device, gpu_in_build: bool = False) -> Preview:
    return Preview("0.3.36", gpu_in_build, devices or (CPU,), ())


def held(size: int, *notes: str) -> Held:
    return Held(8192, 8, 0, 31, (DeviceMemory("CPU", size, 0, 0),), notes)


def test_the_fake_model_and_the_starter_are_warnings(find: FindHome) -> None:
    assert levels(check_models(find())) == {"model main": "warning"}
    home = find("models: {main: {path: starter}}\n")
    seen = told(check_models(home))
    assert seen["model main"][0] == "ok"
    assert seen["starter model"][0] == "warning"
    assert seen["starter model"][2] == f"$EDITOR {home.paths.config}"


def test_a_file_that_is_missing_or_no_gguf_is_an_error(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("this is no model")
    home = find(f"models: {{main: {{path: {tmp_path}/a.gguf}}, other: {{path: {tmp_path}/b.gguf}}}}\n")
    seen = told(check_models(home))
    assert seen["model main"][:2] == ("error", f"{tmp_path}/a.gguf is not a GGUF file")
    assert seen["model other"][0] == "error"


def test_a_checksum_is_known_once_the_file_was_read_as_it_is_now(find: FindHome, tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    home = find(f"models: {{main: {{path: {file}}}}}\n")
    assert "not read yet" in told(check_models(home))["model main"][1]
    look = stamp(file)
    store = Store(home.paths.database)
    checksums.put(store._db, look.path, look.size, look.mtime_ns, look.inode, "ab" * 32)
    store.close()
    assert "sha256 abababababab…" in told(check_models(home))["model main"][1]
    file.write_bytes(b"GGUF" + bytes(101))
    assert "not read yet" in told(check_models(home))["model main"][1]


def test_what_a_real_model_takes_is_estimated_in_a_process_of_its_own(find: FindHome) -> None:
    seen = told(check_fit(find("models: {main: {path: starter, gpu_layers: 0}}\n")))
    assert seen["model main"][0] in ("ok", "warning"), "less memory than usual is no mistake of the test's"
    assert "with context" in seen["model main"][1]
    assert seen["llama-cpp-python"][1].startswith("0.")


def test_a_broken_header_is_an_error_and_the_other_model_is_looked_at(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + b"\xff" * 200)
    home = find(f"models: {{main: {{path: starter, gpu_layers: 0}}, broken: {{path: {tmp_path}/a.gguf}}}}\n")
    seen = told(check_fit(home))
    assert (seen["model broken"][0], seen["model main"][0] == "error") == ("error", False)


def test_a_process_that_dies_is_an_error_that_says_how(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(settings: list[ModelSettings]) -> Preview:
        raise EngineCrashed("llama.cpp cannot be used here: died of SIGILL")

    monkeypatch.setattr("agentd.doctor.models.preview", die)
    level, words, hint = told(check_fit(find()))["llama-cpp-python"]
    assert (level, words) == ("error", "llama.cpp cannot be used here: died of SIGILL")
    assert "--no-binary llama-cpp-python" in hint


def test_a_preview_that_cannot_run_is_told_by_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentd.engine.preview.sys.executable", "/bin/false")
    with pytest.raises(EngineCrashed, match="no word"):
        preview([])


def test_a_loaded_model_is_told_as_it_is_and_not_estimated_again(
    find: FindHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[ModelSettings]] = []

    def look(settings: list[ModelSettings]) -> Preview:
        asked.append(settings)
        return found()

    monkeypatch.setattr("agentd.doctor.models.preview", look)
    model: dict[str, Any] = {"loaded": True, "fake": False, "gpu_layers": 3, "layers": 31, "context": 8192}
    home = find("models: {main: {path: starter}}\n", status={"models": {"main": model}})
    assert told(check_fit(home))["model main"] == (
        "ok",
        "is loaded: 3 of 31 layers on a GPU, context 8,192",
        "",
    )
    assert asked == [[]]


def test_a_gpu_that_the_build_cannot_use_is_a_warning() -> None:
    build = "llama-cpp-python"
    assert told(judge_build(found(), None))[build][:2] == ("ok", "0.3.36, on the CPU")
    level, _, hint = told(judge_build(found(), "CUDA"))[build]
    assert (level, "CUDA" in hint) == ("warning", True)
    assert told(judge_build(found(CPU, gpu_in_build=True), "CUDA"))[build][0::2] == ("warning", "nvidia-smi")
    assert told(judge_build(found(CPU, GPU, gpu_in_build=True), "CUDA"))[build][:2] == (
        "ok",
        "0.3.36, CUDA0 (a card)",
    )


def test_a_model_that_had_to_be_made_smaller_is_a_warning_and_one_that_does_not_fit_an_error() -> None:
    refused = {"code": "model-unavailable", "message": "there is not enough memory", "hint": "agentd config path"}
    models: dict[str, Held | dict[str, str]] = {
        "fits": held(GIB),
        "less": held(2 * GIB, "context: 1,024 instead of 8,192"),
        "not": refused,
    }
    seen = told(judge_fit(models, found(), "edit"))
    assert {about: row[0] for about, row in seen.items()} == {
        "model fits": "ok",
        "model less": "warning",
        "model not": "error",
    }
    assert seen["model fits"][1] == "would take CPU 1.0 GiB, with context 8,192 and 8 at a time"


def test_models_that_fit_alone_and_not_together_are_a_warning() -> None:
    assert "memory" not in told(judge_fit({"a": held(5 * GIB), "b": held(2 * GIB)}, found(), "edit"))
    seen = told(judge_fit({"a": held(5 * GIB), "b": held(4 * GIB)}, found(), "edit"))
    assert seen["memory"][:2] == (
        "warning",
        "together the models want 9.0 GiB of CPU, which has 8.0 GiB free; `keep_alive: 5m` lets them take turns",
    )
