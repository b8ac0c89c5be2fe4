"""Converted copies of the starter's weights: made once, loadable, of the same quality, the original untouched."""

import hashlib
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentd.engine.llama.context import LlamaContext, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.llama.quantize import quantized_size
from agentd.engine.perplexity import CHUNK, perplexity
from agentd.engine.repack import SPARE_BYTES, UNFINISHED, converted
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import STARTER_SHA256, find_weights
from agentd.errors import ModelUnavailable
from tests.engine.test_prefix_file import small_disk
from tests.waiting import wait_for

STARTER = find_weights(ModelSettings())
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def copy(copies: Path) -> Path:
    """The starter's weights in Q8_0."""
    return converted(STARTER, STARTER_SHA256, "q8_0", copies)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """The starter under a path of the test's own, which may be deleted."""
    path = tmp_path / "model.gguf"
    path.symlink_to(STARTER)
    return path


@contextmanager
def opened(path: Path, batch: int = 512) -> Iterator[tuple[LlamaModel, LlamaContext]]:
    tail = LogTail()
    model = LlamaModel(path, tail)
    shape = Shape(cells=CHUNK, sequences=1, batch=batch, kv_cache=KvCache(k="f16", v="f16"), threads=1)
    context = LlamaContext(model, shape, tail)
    try:
        yield model, context
    finally:
        context.close()
        model.close()


def measured(path: Path, batch: int = 512) -> float:
    """The perplexity of the README's beginning."""
    with opened(path, batch) as (model, context):
        tokens = model.tokenize(README.read_text(), special=False)[: 2 * CHUNK]
        return perplexity(context, tokens, model.bos)


def test_a_copy_predicts_as_well_as_the_original(copy: Path) -> None:
    with opened(copy) as (model, _):
        assert model.description.endswith("Q8_0")
    original = measured(STARTER)
    assert measured(copy) == pytest.approx(original, rel=0.01)
    assert measured(copy, batch=96) == pytest.approx(original, rel=0.01), "in parts that do not fit the halves"


def test_a_shuffled_text_is_harder_to_predict() -> None:
    with opened(STARTER) as (model, context):
        tokens = model.tokenize(README.read_text(), special=False)[: CHUNK + CHUNK // 2]
        plain = perplexity(context, tokens)
        assert perplexity(context, [*tokens[:CHUNK][::2], *tokens[:CHUNK][1::2]]) > 2 * plain
        with pytest.raises(ValueError, match="less than a chunk"):
            perplexity(context, tokens[: CHUNK - 1])


def test_the_original_stays_as_it_was(copy: Path) -> None:
    assert copy.is_file()
    assert hashlib.sha256(STARTER.read_bytes()).hexdigest() == STARTER_SHA256


def test_the_size_is_known_before(copy: Path) -> None:
    assert copy.stat().st_size == pytest.approx(quantized_size(STARTER, "q8_0"), rel=0.01)


def test_a_copy_that_is_there_is_used_again(copy: Path, copies: Path) -> None:
    made = copy.stat().st_mtime_ns

    def never(_share: float) -> None:
        raise AssertionError("converted again")

    assert converted(STARTER, STARTER_SHA256, "q8_0", copies, never) == copy
    assert copy.stat().st_mtime_ns == made


def test_progress_is_told_as_a_growing_share(tmp_path: Path) -> None:
    shares: list[float] = []
    converted(STARTER, STARTER_SHA256, "q4_0", tmp_path, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def copied(copy: Path, linked: Path, folder: Path) -> Path:
    """A finished copy of `linked` in `folder`, without the time to make it."""
    folder.mkdir()
    for file in (copy, copy.with_suffix(".json")):
        shutil.copy(file, folder)
    origin = folder / copy.with_suffix(".json").name
    origin.write_text(origin.read_text().replace(str(STARTER), str(linked)))
    return folder / copy.name


def _cut(copy: Path) -> None:
    with copy.open("r+b") as file:
        file.truncate(1000)


def _without_origin(copy: Path) -> None:
    copy.with_suffix(".json").unlink()


def _broken_origin(copy: Path) -> None:
    copy.with_suffix(".json").write_text('{"source": 1}')


@pytest.mark.parametrize("spoil", [_cut, _without_origin, _broken_origin])
def test_a_copy_that_is_not_whole_is_made_again(
    copy: Path, linked: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoilt = copied(copy, linked, tmp_path / "copies")
    (spoilt.parent / f"left{UNFINISHED}").touch()
    spoil(spoilt)
    assert converted(linked, STARTER_SHA256, "q8_0", spoilt.parent) == spoilt
    assert spoilt.read_bytes() == copy.read_bytes()
    assert not list(spoilt.parent.glob(f"*{UNFINISHED}"))


def damaged(path: Path) -> Path:
    """The starter with a number of layers that makes llama.cpp abort."""
    content = bytearray(STARTER.read_bytes())
    place = content.index(b"llama.block_count") + len(b"llama.block_count") + 4  # after the value's type
    content[place : place + 4] = struct.pack("<I", 0)
    path.write_bytes(content)
    return path


def truncated(path: Path) -> Path:
    path.write_bytes(STARTER.read_bytes()[:50_000_000])
    return path


@pytest.mark.parametrize(
    ("spoil", "said"), [(damaged, "crashed on .* \\(SIGABRT\\)"), (truncated, "cannot convert")]
)
def test_a_damaged_source_is_an_error_and_leaves_nothing(
    tmp_path: Path, spoil: Callable[[Path], Path], said: str
) -> None:
    source = spoil(tmp_path / "damaged.gguf")
    folder = tmp_path / "copies"
    with pytest.raises(ModelUnavailable, match=said):
        converted(source, "ab" * 32, "q8_0", folder)
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_copies_of_models_that_are_gone_are_deleted(copy: Path, linked: Path, tmp_path: Path) -> None:
    old = copied(copy, linked, tmp_path / "copies")
    gone = tmp_path / "gone.gguf"
    truncated(gone)
    linked.unlink()
    with pytest.raises(ModelUnavailable):
        converted(gone, "cd" * 32, "q8_0", old.parent)
    assert [file.name for file in old.parent.iterdir()] == ["lock"]


def test_the_copy_of_a_file_that_was_replaced_is_deleted(copy: Path, linked: Path, tmp_path: Path) -> None:
    old = copied(copy, linked, tmp_path / "copies")
    linked.unlink()
    truncated(linked)
    with pytest.raises(ModelUnavailable):
        converted(linked, "cd" * 32, "q8_0", old.parent)
    assert not old.exists()


def test_the_copy_of_another_model_stays(copy: Path, linked: Path, tmp_path: Path) -> None:
    other = copied(copy, linked, tmp_path / "copies")
    with pytest.raises(ModelUnavailable):
        converted(truncated(tmp_path / "new.gguf"), "cd" * 32, "q8_0", other.parent)
    assert other.exists()


def test_a_disk_that_is_too_small_is_told_with_the_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    with small_disk(folder):
        with pytest.raises(ModelUnavailable) as told:
            converted(STARTER, STARTER_SHA256, "q8_0", folder)
        assert "145 MB" in told.value.message
        assert f"{SPARE_BYTES / 1e6:,.0f} MB are to stay free" in told.value.message
        assert [file.name for file in folder.iterdir()] == ["lock"]


def test_the_quantizer_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from agentd.engine.repack import converted\n"
        "tell = lambda share: print(share, flush=True)\n"
        "converted(Path(sys.argv[1]), 'ab' * 32, 'q8_0', Path(sys.argv[2]), tell)\n"
    )
    command = [sys.executable, "-c", code, STARTER, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        (child,) = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
        starter.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists(), what="the quantizer's end")
    assert not list(tmp_path.glob("*.gguf"))
