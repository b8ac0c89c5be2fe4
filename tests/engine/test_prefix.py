"""Prefixes over a restart: the same text sooner, and never a file that is not exactly what it should be."""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from agentd.engine.llama.context import LlamaContext
from agentd.engine.local import LocalModel
from agentd.engine.prefix import Prefixes
from agentd.engine.prefix_file import SUFFIX
from agentd.engine.settings import KvCache, ModelSettings
from agentd.model import Generation, Request
from tests.engine.conftest import SMALL, ask, generate

pytestmark = pytest.mark.usefixtures("whole_steps")
SYSTEM = "You answer questions about the harbour of a small town, its ships and its tides, in a few words."
QUESTION = ask("When does the ferry leave?", SYSTEM, shared=1, max_tokens=8)


class Started:
    """Models that were started with one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, settings: ModelSettings = SMALL, request: Request = QUESTION) -> Generation:
        """What a newly started model answers first; it has saved what it will save."""
        model = LocalModel(settings, None, self._folder)
        generation = generate(model, request)
        writer: Executor = model._batch._prefixes._writer
        writer.shutdown(wait=True)
        model._batch._context.close()
        model._model.close()
        return generation

    @property
    def files(self) -> list[Path]:
        """The saved prefixes."""
        return sorted(self._folder.rglob(f"*{SUFFIX}"))


@pytest.fixture
def started(tmp_path: Path) -> Started:
    return Started(tmp_path / "state")


@pytest.fixture
def tokens(model: LocalModel) -> int:
    """How long the prefix is."""
    return len(model._shared(model._template.render(QUESTION.messages), 1))


def test_after_a_restart_the_first_request_finds_its_prefix_and_says_the_same(
    started: Started, tokens: int
) -> None:
    first = started.ask()
    assert first.tokens_cached == 0
    (file,) = started.files
    written = file.stat().st_ino
    second = started.ask()
    assert second.tokens_cached == tokens
    assert second.text == first.text
    assert [file.stat().st_ino for file in started.files] == [written]  # what was read is not written again


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_file_is_ignored_said_once_and_written_again(
    started: Started, tokens: int, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = started.ask()
    (file,) = started.files
    raw = bytearray(file.read_bytes())
    match damage:
        case "flipped":
            raw[len(raw) // 2] ^= 1
        case "cut":
            del raw[-1000:]
    file.write_bytes(raw)
    with caplog.at_level(logging.WARNING, "agentd.engine"):
        second = started.ask()
    assert second.tokens_cached == 0
    assert second.text == first.text
    assert [f"{file} is ignored" in record.getMessage() for record in caplog.records] == [True]
    assert started.files == [file]
    assert started.ask().tokens_cached == tokens


def test_other_settings_neither_use_nor_disturb_what_was_saved(started: Started, tokens: int) -> None:
    started.ask()
    other = SMALL.model_copy(update={"kv_cache": KvCache(k="f16", v="f16")})
    assert started.ask(other).tokens_cached == 0
    assert len(started.files) == 2
    assert started.ask().tokens_cached == tokens


def test_a_prefix_that_had_to_go_comes_back_from_its_file(tmp_path: Path, tokens: int) -> None:
    model = LocalModel(SMALL, None, tmp_path)
    first = generate(model, QUESTION)
    model._batch._prefixes._writer.submit(lambda: None).result()
    model._batch._prefixes.evict(0)
    assert len(model._batch._prefixes) == 0
    second = generate(model, QUESTION)
    assert (second.tokens_cached, second.text) == (tokens, first.text)


@pytest.fixture
def kept(model: LocalModel) -> Iterator[Prefixes]:
    """Two sequences for prefixes of forty cells at most, in the cache of the session's model."""
    context: LlamaContext = model._batch._context
    context.drop(0)
    sequences = list(model._batch._prefixes._free)[:2]
    yield Prefixes(context, sequences, 40, None, model._batch._prefixes._writer)
    for sequence in sequences:
        context.drop(sequence)


def test_the_least_recently_used_goes_and_what_is_in_use_stays(kept: Prefixes) -> None:
    one, two, three = tuple(range(16)), tuple(range(17)), tuple(range(18))
    assert kept.keep(one, 0)
    assert kept.keep(two, 0)
    assert not kept.keep(two, 0)  # another request computed it meanwhile
    assert not kept.keep(three, 0)  # both are in use
    kept.leave(one)
    kept.leave(two)
    assert kept.join(one)
    assert kept.in_use(one) and not kept.in_use(two)
    assert kept.keep(three, 0)
    assert one in kept and three in kept and two not in kept
    assert (kept.evicted, kept.cells_kept, kept.cells_in_use) == (1, 34, 34)
    kept.leave(three)
    kept.evict(20)
    assert one in kept and three not in kept
    kept.evict(0)
    assert one in kept
    kept.forget()
    assert len(kept) == kept.cells_kept == 0
    assert not kept.join(one)


def test_a_prefix_is_kept_only_where_it_pays_and_fits(kept: Prefixes) -> None:
    assert [kept.fits(tokens) for tokens in (0, 15, 16, 40, 41)] == [False, False, True, True, False]
    assert kept.keep(tuple(range(25)), 0)
    assert not kept.keep(tuple(range(16)), 0)  # 25 of 40 cells are in use
    assert not kept.restore(tuple(range(16)))  # without a folder there is nothing to restore
    assert not kept.restore(())
