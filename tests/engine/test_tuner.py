"""The tuner with the starter: a real search in a process of its own, however small, and how it ends."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentd.engine.choice import Choice
from agentd.engine.loading import load
from agentd.engine.measure import Bench
from agentd.engine.repack import converted
from agentd.engine.settings import ModelSettings
from agentd.engine.tuner_client import WEIGHTS, keep_copies, tune
from agentd.engine.weights import STARTER_SHA256, find_weights
from agentd.errors import AlreadyRunning, EngineCrashed, ModelUnavailable
from agentd.model import Message, Request
from tests.acceptance.daemon import has_ended
from tests.waiting import wait_until

# Nothing is left to be searched but the size of a step.
FIXED = ModelSettings.model_validate(
    {"threads": 1, "parallel": 4, "context": 1024, "repack": "off", "kv_cache": {"k": "q8_0", "v": "q8_0"}}
)
KINDS = ["garden", "kitchen", "computer"]
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": KINDS}},
    "required": ["kind"],
    "additionalProperties": False,
}
THINGS = [
    "pear tree",
    "oven",
    "laptop",
    "tomatoes",
    "pan",
    "keyboard",
    "hedge",
    "flour",
    "server",
    "compost",
    "soup",
]
REQUESTS = [
    Request(
        (Message("system", f"Does it belong to {' or '.join(KINDS)}?"), Message("user", thing)),
        SCHEMA,
        max_tokens=16,
        shared=1,
    )
    for thing in (*THINGS, "rose")
]
TEXTS = [(Path(__file__).parents[2] / "README.md").read_text()]


def tuners() -> list[psutil.Process]:
    """The tuners that this process has started."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "agentd.engine.tuner" in child.cmdline():
                found.append(child)
    return found


async def test_the_starter_is_measured(tmp_path: Path) -> None:
    async with contextlib.aclosing(tune(FIXED, REQUESTS, TEXTS, tmp_path)) as parts:
        *progress, done = [part async for part in parts]
    assert {part["type"] for part in progress} == {"progress"}
    assert any("12 jobs with the defaults" in part["text"] for part in progress)
    assert [part["done"] for part in progress] == sorted(part["done"] for part in progress)
    choice = Choice(**done["choice"])
    assert (choice.sha256, choice.weights) == (STARTER_SHA256, "")
    assert min(choice.prompt_rate, choice.decode_rate, choice.gain) > 0
    default = done["rows"][done["default"]]
    assert (default["setting"]["parallel"], default["setting"]["batch"]) == (4, 512)
    assert {row["setting"]["batch"] for row in done["rows"]} >= {256, 512, 1024}
    assert all(row["estimates"] and not row["refused"] for row in done["rows"])
    assert done["rows"][done["chosen"]]["runs"]
    assert done["build"]
    assert [file.name for file in tmp_path.iterdir()] == ["tune.lock"]
    await wait_until(lambda: not tuners())


async def test_who_goes_away_ends_the_search_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    parts = tune(FIXED, REQUESTS, TEXTS, tmp_path)
    await anext(parts)
    (tuner,) = tuners()
    with pytest.raises(AlreadyRunning):
        await anext(tune(FIXED, REQUESTS, TEXTS, tmp_path))
    assert not has_ended(tuner)
    await parts.aclose()
    await wait_until(lambda: has_ended(tuner))
    assert [file.name for file in tmp_path.iterdir()] == ["tune.lock"]


async def test_a_tuner_that_dies_is_an_error_by_name(tmp_path: Path) -> None:
    async with contextlib.aclosing(tune(FIXED, REQUESTS, TEXTS, tmp_path)) as parts:
        await anext(parts)
        tuners()[0].kill()
        with pytest.raises(EngineCrashed, match="died of SIGKILL"):
            await asyncio.wait_for(drain(parts), 60)


async def test_a_model_that_cannot_be_loaded_is_an_error_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    async with contextlib.aclosing(tune(ModelSettings(path=str(broken)), REQUESTS, TEXTS, tmp_path)) as parts:
        with pytest.raises(ModelUnavailable, match=str(broken)):
            await asyncio.wait_for(drain(parts), 60)


async def drain(parts: Any) -> None:
    async for _ in parts:
        pass


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the starter's weights."""
    folder = tmp_path_factory.mktemp("copies")
    converted(find_weights(ModelSettings()), STARTER_SHA256, "q8_0", folder)
    return folder


def test_a_copy_is_measured_and_its_texts_too(copies: Path) -> None:
    bench = Bench(ModelSettings(threads=1, context=1024, parallel=2), copies, TEXTS)
    try:
        setting = bench.space.default
        assert bench.space.weights == ("", "q8_0", "q4_0")
        assert min(*bench.sample(setting, 16, 32, 2)) > 0
        copy = bench.make_copy("q8_0", lambda _share: pytest.fail("converted again"))
        assert copy.parent == copies
        with_copy = type(setting)(1, 256, 2, ("f16", "f16"), "q8_0")
        assert min(*bench.sample(with_copy, 16, 32, 2)) > 0
        run = bench.run(with_copy, dict(enumerate(REQUESTS[:3])), lambda: None)
        assert sorted(run.generations) == [0, 1, 2]
        assert run.steps > 0
        assert all(one.tokens_cached for one in run.generations.values()), "what they share was there before"
        with pytest.raises(ModelUnavailable, match="requests"):
            bench.sample(type(setting)(1, 256, 10_000, ("f16", "f16")), 16, 32, 2)
        assert bench.others >= 0
    finally:
        bench.close()


def test_the_choice_is_loaded_for_its_own_file_only(copies: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(copies, folder / WEIGHTS)
    settings = ModelSettings(threads=1, context=512)
    choice = Choice(1, 256, 3, "f16", "q8_0", "q8_0", 1, 1, "2026-11-23T10:00:00Z", STARTER_SHA256, 2.13)
    for given, expected in [
        (choice, ("a q8_0 copy of 145 MB, 2.1× the jobs a minute at the same quality, measured 2026-11-23", 3)),
        (Choice(1, 256, 3, "f16", "q8_0", "q8_0", 1, 1, "", "other", 2.1), ("", 8)),
    ]:
        loaded = load(settings, given, folder)
        assert (loaded.info.weights, loaded.info.parallel) == expected
        assert (loaded.info.path, loaded.info.sha256) == (str(find_weights(settings)), STARTER_SHA256)
        loaded.context.close()
        loaded.model.close()
    off = load(settings.model_copy(update={"repack": "off"}), choice, folder)
    assert (off.info.weights, off.info.parallel) == ("the file as it is (repack: off)", 3)
    off.context.close()
    off.model.close()


def test_only_the_chosen_copy_is_kept(tmp_path: Path) -> None:
    sha256, other = "a" * 64, "b" * 64
    kept, made = tmp_path / WEIGHTS, tmp_path / "tuning"
    for folder, kinds in ((kept, ("q4_0",)), (made, ("q8_0", "q4_0"))):
        folder.mkdir()
        for name in (
            f"{one[:16]}-{kind}-build{end}"
            for one in (sha256, other)
            for kind in kinds
            for end in (".gguf", ".json")
        ):
            (folder / name).write_text(str(folder))
    keep_copies(tmp_path, sha256, ModelSettings(), "q8_0", made)
    names = sorted(file.name for file in kept.iterdir())
    assert names == [
        f"{one[:16]}-{kind}-build{end}"
        for one, kind in ((sha256, "q8_0"), (other, "q4_0"))
        for end in (".gguf", ".json")
    ]
    keep_copies(tmp_path, sha256, ModelSettings(repack="q8_0"))
    assert len(list(kept.iterdir())) == 4, "what the config demands stays"
    keep_copies(tmp_path, sha256, ModelSettings())
    assert sorted(file.name[:1] for file in kept.iterdir()) == ["b", "b"]
