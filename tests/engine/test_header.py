"""What is read of a GGUF header, and how broken ones are refused."""

from pathlib import Path

import pytest

from agentd.engine.llama.header import Header, read_header
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import ModelUnavailable
from tests.engine.headers import MODELS, Tensors, Value, tensor_bytes, write_header


@pytest.fixture(scope="module")
def tail() -> LogTail:
    return LogTail()


def written(path: Path, tail: LogTail, pairs: dict[str, Value], tensors: Tensors | None = None) -> Header:
    write_header(path, pairs, tensors or {"token_embd.weight": ((32, 2), "q8_0")})
    return read_header(path, tail)


def test_the_starters_header_says_what_the_loaded_model_does(tail: LogTail) -> None:
    path = find_weights(ModelSettings())
    header = read_header(path, tail)
    model = LlamaModel(path, tail)
    loaded = model.metadata
    vocabulary = model.vocab_size
    model.close()
    assert header.vocabulary == vocabulary
    assert set(header.pairs) == set(loaded)
    for key in (key for key in loaded if key.startswith("llama.")):
        assert float(header.pairs[key]) == pytest.approx(float(loaded[key])), key
    assert header.pairs["general.name"] == loaded["general.name"]
    assert path.stat().st_size - 2**21 < sum(header.tensors.values()) < path.stat().st_size


def test_arrays_of_numbers_are_text_and_others_are_left_out(tmp_path: Path, tail: LogTail) -> None:
    header = written(
        tmp_path / "one.gguf",
        tail,
        {
            "one": 1,
            "half": 0.5,
            "text": "ünïcode",
            "numbers": [1, 2, 3],
            "flags": [True, False],
            "empty": [],
            "words": ["a", "b"],
            "long": [0] * 5000,
            "tokenizer.ggml.tokens": ["a", "b", "c"],
        },
    )
    assert header.pairs == {
        "one": "1",
        "half": "0.5",
        "text": "ünïcode",
        "numbers": "[1, 2, 3]",
        "flags": "[true, false]",
        "empty": "[]",
    }
    assert header.vocabulary == 3


def test_tensors_are_told_with_their_bytes(tmp_path: Path, tail: LogTail) -> None:
    pairs, tensors = MODELS["Qwen3 30B A3B"]()
    header = written(tmp_path / "one.gguf", tail, pairs, tensors)
    assert header.tensors == {name: tensor_bytes(*shape) for name, shape in tensors.items()}


def test_the_parts_of_a_split_file_are_read_together(tmp_path: Path, tail: LogTail) -> None:
    parts = [tmp_path / f"model-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for number, part in enumerate(parts):
        write_header(part, {"part": number}, {f"blk.{number}.attn_q.weight": ((32, 2), "q8_0")})
    assert list(read_header(parts[0], tail).tensors) == [f"blk.{number}.attn_q.weight" for number in range(3)]
    parts[2].unlink()
    with pytest.raises(ModelUnavailable, match=r"cannot read .*00003-of-00003"):
        read_header(parts[0], tail)


def test_a_broken_header_is_refused(tmp_path: Path, tail: LogTail) -> None:
    file = tmp_path / "one.gguf"
    write_header(file, *MODELS["SmolLM2 135M"]())
    whole = file.read_bytes()[:8192]
    for broken in (b"", b"GGUF", whole[:300], whole[:4] + b"\xff" * 100, whole.replace(b"blk.0.", b"blk.1.")):
        file.write_bytes(broken)
        with pytest.raises(ModelUnavailable, match="cannot read"):
            read_header(file, tail)
