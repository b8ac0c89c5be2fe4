"""Plans for machines as llama.cpp reports them, and for models that many people have."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.engine.architecture import Architecture
from agentd.engine.choice import Choice
from agentd.engine.estimate import Device
from agentd.engine.fit import MOST_PARALLEL, MOST_SEQUENCES, Plan, fit, smaller
from agentd.engine.llama.context import MOST_SEQUENCES as LLAMAS_MOST
from agentd.engine.llama.context import LlamaContext, Shape
from agentd.engine.llama.devices import devices
from agentd.engine.llama.header import read_header
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.schedule import most_outputs
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import ModelUnavailable
from tests.engine.headers import MODELS, architecture

GIB = 1024**3
ARCHITECTURES = {name: architecture(name) for name in MODELS}
AUTO = ModelSettings()
CHOICE = Choice(3, 1024, 16, "q5_1", "q4_0", "", 900.0, 90.0, "2026-01-01T00:00:00Z")


def device(name: str, kind: str, free: float) -> Device:
    return Device(name, "", kind, int(free * GIB), int(free * GIB))


def machine(ram: float, *gpus: Device) -> tuple[Device, ...]:
    return (*gpus, device("CPU", "cpu", ram))


LARGE_CARD = machine(60, device("CUDA0", "gpu", 23.5))
TWO_CARDS = machine(60, device("CUDA0", "gpu", 7.5), device("CUDA1", "gpu", 11))
OLD_CARD = machine(14, device("CUDA0", "gpu", 1.8))
MACBOOK = machine(6, device("MTL0", "igpu", 5.3))
LAPTOP = machine(12, device("Vulkan0", "igpu", 11))
SERVER = machine(30)
TINY = machine(0.7)
MACHINES = (LARGE_CARD, TWO_CARDS, OLD_CARD, MACBOOK, LAPTOP, SERVER, TINY)


def plan(name: str, devices: tuple[Device, ...], choice: Choice | None = None, **settings: object) -> Plan:
    return fit(ARCHITECTURES[name], devices, ModelSettings.model_validate(settings), choice, 4)


def check_plan(found: Plan, measures: Architecture) -> None:
    """What every plan promises."""
    memory = {row.device: row.weights + row.kv_cache + row.compute for row in found.estimates}
    for one in found.devices:
        assert memory.get(one.name, 0) <= one.free
    # A GPU without memory of its own takes it from the CPU.
    shared = [one.name for one in found.devices if one.kind in ("igpu", "cpu")]
    (cpu,) = [one for one in found.devices if one.kind == "cpu"]
    assert sum(memory.get(name, 0) for name in shared) <= cpu.free
    check_numbers(found, measures)


def check_numbers(found: Plan, measures: Architecture) -> None:
    assert found.context <= found.cells
    assert found.cells % 256 == 0
    assert found.parallel < found.sequences <= MOST_SEQUENCES
    assert found.sequences <= found.batch <= found.cells, "llama.cpp aborts otherwise"
    assert 0 <= found.gpu_layers <= measures.units
    assert "auto" not in (found.kv_cache.k, found.kv_cache.v)


def test_with_room_for_all_nothing_is_made_smaller() -> None:
    found = plan("Llama 3 8B", LARGE_CARD)
    assert (found.gpu_layers, found.context, found.parallel) == (33, 8192, 8)
    assert (found.cells, found.sequences, found.batch) == (8192 + 2048 + 8 * 1024, 8 + 2 + 8 + 32, 512)
    assert (str(found.kv_cache), found.threads, found.notes) == ("q8_0/q8_0", 4, ())
    assert [row.device for row in found.estimates] == ["CPU", "CUDA0"]
    alone = plan("Llama 3 8B", SERVER)
    assert dataclasses.replace(found, gpu_layers=0, devices=SERVER, estimates=()) == dataclasses.replace(
        alone, estimates=()
    )
    assert plan("Llama 2 7B", SERVER).context == 4096, "not more than it was trained with"


def test_the_sequences_are_as_many_as_llama_takes() -> None:
    assert MOST_SEQUENCES == LLAMAS_MOST
    found = plan("SmolLM2 135M", SERVER, parallel=MOST_PARALLEL)
    assert (found.sequences, found.parallel) == (MOST_SEQUENCES, MOST_PARALLEL)
    with pytest.raises(ModelUnavailable, match="parallel: 300 is more than the 214 requests"):
        plan("SmolLM2 135M", SERVER, parallel=300)


def test_what_was_measured_replaces_the_defaults_and_settings_replace_both() -> None:
    found = plan("Llama 3 8B", SERVER, CHOICE)
    assert (found.threads, found.batch, found.parallel, str(found.kv_cache)) == (3, 1024, 16, "q5_1/q4_0")
    found = plan("Llama 3 8B", SERVER, CHOICE, threads=2, parallel=4, kv_cache={"v": "f16"}, context=3000)
    assert (found.threads, found.parallel, str(found.kv_cache), found.context) == (2, 4, "q5_1/f16", 3000)
    narrow = dataclasses.replace(CHOICE, batch=16, parallel=500)
    found = plan("Llama 3 8B", SERVER, narrow)
    assert (found.parallel, found.batch) == (MOST_PARALLEL, MOST_SEQUENCES)


def test_two_cards_share_the_layers_by_their_free_memory() -> None:
    found = plan("Llama 3 8B", TWO_CARDS)
    _, small, large = found.estimates
    assert found.gpu_layers == 33
    assert small.weights < large.weights
    assert small.kv_cache < large.kv_cache


def test_a_card_that_is_too_small_takes_as_many_layers_as_fit() -> None:
    found = plan("Llama 3 8B", OLD_CARD)
    assert 0 < found.gpu_layers < 33
    assert found.context == 8192
    assert found.notes == (f"gpu_layers: {found.gpu_layers} instead of 33, since CUDA0 has 1.8 GiB free",)
    fewer = plan("Qwen3 30B A3B", machine(60, device("CUDA0", "gpu", 5.6)))
    assert 0 < fewer.gpu_layers < 49


def test_few_cells_go_before_layers_on_the_cpu() -> None:
    found = plan("Llama 2 7B", machine(14, device("CUDA0", "gpu", 5.6)))
    assert found.gpu_layers == 33
    assert 4096 <= found.cells < 4096 + 2048 + 8 * 1024
    assert found.notes == (f"cells: {found.cells:,} instead of 14,336, since CUDA0 has 5.6 GiB free",)


def test_a_full_card_is_left_alone() -> None:
    found = plan("Llama 3 8B", machine(30, device("CUDA0", "gpu", 0)))
    assert found.gpu_layers == 0
    assert [row.device for row in found.estimates] == ["CPU"]
    assert found.notes == ("gpu_layers: 0 instead of 33, since CUDA0 has 0 MiB free",)


def test_a_gpu_in_the_cpus_memory_counts_once() -> None:
    found = plan("Llama 3 8B", MACBOOK)
    assert found.gpu_layers == 33
    check_plan(found, ARCHITECTURES["Llama 3 8B"])
    # Its own figure would allow it, the memory that it shares does not.
    with pytest.raises(ModelUnavailable, match=r"CPU has 4\.0 GiB free of the 4"):
        plan("Llama 3 8B", machine(4, device("Vulkan0", "igpu", 16)))


def test_little_memory_makes_requests_shorter() -> None:
    found = plan("SmolLM2 135M", machine(0.55))
    assert (found.context, found.parallel) == (8192, 8)
    assert found.cells < 18432
    found = plan("Llama 2 7B", machine(4.3))
    assert (found.context, found.parallel) == (1024, 8)
    assert found.notes[0] == "context: 1,024 instead of 4,096, since CPU has 4.3 GiB free"


def test_a_state_for_each_sequence_makes_fewer_of_them() -> None:
    found = plan("Mamba 130M", machine(0.57))
    assert found.parallel < 8
    assert any(note.startswith("parallel: ") for note in found.notes)
    check_plan(found, ARCHITECTURES["Mamba 130M"])


def test_rather_all_memory_than_no_model() -> None:
    found = plan("SmolLM2 135M", machine(0.25))
    assert (found.context, found.cells) == (1024, 1024)
    assert found.notes[-1] == "memory: nearly all of what is free is taken"
    check_plan(found, ARCHITECTURES["SmolLM2 135M"])


def test_what_does_not_fit_at_all_is_refused_with_the_numbers() -> None:
    with pytest.raises(ModelUnavailable) as refused:
        plan("Llama 3 8B", TINY)
    assert str(refused.value) == (
        "there is not enough memory for this model: CPU has 717 MiB free of the 4.6 GiB that it takes"
    )
    assert refused.value.hint == "agentd config path"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"gpu_layers": "all"}, r"this model with gpu_layers: 33: CUDA0 has 1\.8 GiB free of the 4\.\d GiB"),
        ({"gpu_layers": 20}, r"with gpu_layers: 20: CUDA0 has 1\.8 GiB free of"),
        ({"gpu_layers": 999}, r"with gpu_layers: 33"),
        ({"context": 9000}, r"context: 9,000 is more than the 8,192 tokens this model was trained with"),
        (
            {"kv_cache": {"k": "f32", "v": "f32"}, "gpu_layers": 9, "context": 8192},
            r"with context: 8,192, gpu_layers: 9",
        ),
    ],
)
def test_what_the_config_says_is_kept_or_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        plan("Llama 3 8B", OLD_CARD, **settings)


def test_what_the_config_says_is_never_changed() -> None:
    said = {"gpu_layers": 3, "context": 5000, "parallel": 3}
    found: Plan | None = plan("Llama 3 8B", OLD_CARD, **said)
    while found:
        assert {name: getattr(found, name) for name in said} == said
        cells, found = found.cells, smaller(found, ARCHITECTURES["Llama 3 8B"])
    assert cells == 5120
    with pytest.raises(ModelUnavailable, match=r"with context: 131,072: CPU has 5\.0 GiB free"):
        plan("Gemma 3 4B", machine(5), context=131072)


def test_gpu_layers_without_a_gpu_are_said_to_be_none() -> None:
    for value in ("all", 20):
        found = plan("SmolLM2 135M", SERVER, gpu_layers=value)
        assert found.gpu_layers == 0
        assert found.notes == ("gpu_layers: 0, since llama.cpp finds no GPU that it can use",)
    assert plan("SmolLM2 135M", SERVER, gpu_layers=0).notes == ()


def test_types_that_do_not_work_are_replaced_or_refused() -> None:
    found = plan("heads of 80", SERVER)
    assert str(found.kv_cache) == "f16/f16"
    assert found.notes == (
        "kv_cache: k: f16, since q8_0 does not work with this model",
        "kv_cache: v: f16, since q8_0 does not work with this model",
    )
    assert str(plan("heads of 80", SERVER, kv_cache={"k": "bf16", "v": "f32"}).kv_cache) == "bf16/f32"
    with pytest.raises(ModelUnavailable, match=r"kv_cache: v: q5_0 does not .* v may be f32, f16, bf16$"):
        plan("heads of 80", SERVER, kv_cache={"v": "q5_0"})


def test_one_cache_gives_both_the_type_that_was_said() -> None:
    latent = dataclasses.replace(ARCHITECTURES["Llama 3 8B"], one_cache=True)
    for said in ({"k": "q4_0"}, {"v": "q4_0"}):
        settings = ModelSettings(kv_cache=KvCache.model_validate(said))
        assert str(fit(latent, SERVER, settings, None, 4).kv_cache) == "q4_0/q4_0"
    with pytest.raises(ModelUnavailable, match="one cache"):
        fit(latent, SERVER, ModelSettings(kv_cache=KvCache(k="q4_0", v="f16")), None, 4)


@pytest.mark.parametrize(
    ("devices", "types", "slow"),
    [
        (MACBOOK, {"k": "q8_0", "v": "q4_0"}, True),
        (MACBOOK, {"k": "q8_0", "v": "q8_0"}, False),
        (LARGE_CARD, {"k": "q8_0", "v": "q4_0"}, False),
        (LARGE_CARD, {"k": "iq4_nl", "v": "f16"}, True),
        (SERVER, {"k": "q8_0", "v": "iq4_nl"}, False),
    ],
)
def test_types_that_a_gpu_cannot_attend_are_said(
    devices: tuple[Device, ...], types: dict[str, str], slow: bool
) -> None:
    found = plan("SmolLM2 135M", devices, kv_cache=types)
    assert any("is slow here" in note for note in found.notes) == slow


def test_each_step_down_takes_less_and_says_so() -> None:
    found = plan("Llama 3 8B", LARGE_CARD)
    layers, contexts = [found.gpu_layers], [found.context]
    while (following := smaller(found, ARCHITECTURES["Llama 3 8B"])) is not None:
        assert following.notes != found.notes
        layers.append(following.gpu_layers)
        contexts.append(following.context)
        found = following
    assert layers[:10] == [33, 29, 25, 21, 17, 13, 9, 5, 1, 0]
    assert contexts[-3:] == [4096, 2048, 1024]
    assert (found.gpu_layers, found.cells, found.parallel) == (0, 1024, 8)
    assert found.notes == (
        "gpu_layers: 0 instead of 1, since there was not enough memory at load",
        "cells: 8,192 instead of 18,432, since there was not enough memory at load",
        "context: 1,024 instead of 2,048, since there was not enough memory at load",
    )


def test_a_step_down_replaces_the_note_about_the_same_thing() -> None:
    found = smaller(plan("Llama 3 8B", OLD_CARD), ARCHITECTURES["Llama 3 8B"])
    assert found is not None
    assert len(found.notes) == 1
    assert "at load" in found.notes[0]


sizes = st.floats(0, 80)
machines = st.one_of(
    st.sampled_from(MACHINES),
    st.builds(
        lambda ram, kinds: machine(ram, *(device(f"CUDA{i}", *kind) for i, kind in enumerate(kinds))),
        sizes,
        st.lists(st.tuples(st.sampled_from(("gpu", "igpu", "accel")), sizes), max_size=4),
    ),
)
said = st.fixed_dictionaries(
    {},
    optional={
        "context": st.integers(1, 20_000),
        "parallel": st.integers(1, 300),
        "gpu_layers": st.one_of(st.integers(0, 60), st.just("all")),
        "kv_cache": st.fixed_dictionaries(
            {}, optional={name: st.sampled_from(("f16", "q8_0", "q4_0", "f32")) for name in "kv"}
        ),
    },
)


@given(st.sampled_from(sorted(MODELS)), machines, said, st.sampled_from((None, CHOICE)))
def test_never_more_than_there_is_and_every_descent_ends(
    name: str, devices: tuple[Device, ...], settings: dict[str, object], choice: Choice | None
) -> None:
    measures = ARCHITECTURES[name]
    try:
        found: Plan | None = plan(name, devices, choice, **settings)
    except ModelUnavailable as refused:
        assert refused.hint == "agentd config path"
        return
    assert found is not None
    check_plan(found, measures)
    for key in found.fixed - {"gpu_layers"}:
        assert getattr(found, key) == settings[key]
    for _ in range(40):
        following = smaller(found, measures)
        if following is None:
            return
        check_numbers(following, measures)
        assert _extent(following) < _extent(found)
        found = following
    raise AssertionError("the descent does not end")


def _extent(found: Plan) -> tuple[int, ...]:
    return found.gpu_layers, found.cells, found.context, found.parallel


def test_the_starter_opens_as_planned_on_this_machine() -> None:
    tail = LogTail()
    path = find_weights(AUTO)
    header = read_header(path, tail)
    found = fit(ARCHITECTURES["SmolLM2 135M"], devices(), ModelSettings(context=2048, threads=1), None, 1)
    assert header.vocabulary == ARCHITECTURES["SmolLM2 135M"].vocabulary
    model = LlamaModel(path, tail, gpu_layers=found.gpu_layers)
    outputs = most_outputs(found.batch, found.sequences)
    shape = Shape(found.cells, found.sequences, found.batch, found.kv_cache, found.threads, outputs)
    LlamaContext(model, shape, tail).close()
    model.close()
