"""Estimates of memory against what llama.cpp itself says: of the starter, really loaded, and of well-known models.

Those are headers without weights, which llama.cpp lays out in full when it is told to allocate nothing.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import pytest

from agentd.engine.architecture import (
    KV_BLOCKS,
    Architecture,
    check_kv_types,
    kv_bytes_per_cell,
    read_architecture,
)
from agentd.engine.estimate import Device, Extent, estimate, measured, used_gpus
from agentd.engine.llama.context import KV_TYPES, LlamaContext, Shape
from agentd.engine.llama.header import read_header
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.schedule import most_outputs
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import ModelUnavailable
from agentd.model import DeviceMemory
from tests.engine.headers import MODELS, architecture, write_header

GIB, MIB = 1024**3, 1024**2
LOGGED = 0.01 * MIB  # sizes are logged with two decimals
SMALL = 10 * MIB  # of the compute buffers, what counts only where they are small
CACHE = re.compile(r"_cache: size =\s*([\d.]+) MiB .* cells")
Starter = tuple[LlamaModel, Architecture, dict[tuple[str, str], int]]
PAIRS = list(itertools.product(KV_BLOCKS, repeat=2))


def kv(k: str, v: str) -> KvCache:
    return KvCache.model_validate({"k": k, "v": v})


def logits_to_come(measures: Architecture, extent: Extent) -> int:
    """Bytes by which the room for logits grows from one row a sequence, as logged, to the most of a step."""
    return 4 * measures.vocabulary * (most_outputs(extent.batch, extent.sequences) - extent.sequences)


@pytest.fixture(scope="module")
def tail() -> LogTail:
    return LogTail()


@pytest.fixture(scope="module")
def starter(tail: LogTail) -> Iterator[Starter]:
    """The loaded starter, its measures, and the buffers of its weights."""
    path = find_weights(ModelSettings())
    header = read_header(path, tail)
    tail.clear()
    model = LlamaModel(path, tail)
    yield model, read_architecture(header.pairs, header.tensors, header.vocabulary), tail.buffers()
    model.close()


@pytest.mark.parametrize(
    ("k", "v"), [("f16", "f16"), ("q8_0", "q8_0"), ("q8_0", "q4_0"), ("bf16", "q5_1"), ("f32", "iq4_nl")]
)
def test_the_starter_takes_what_was_estimated(starter: Starter, tail: LogTail, k: str, v: str) -> None:
    model, measures, weights = starter
    extent = Extent(cells=4096, sequences=50, batch=512, kv_cache=kv(k, v))
    context = LlamaContext(model, Shape(4096, 50, 512, extent.kv_cache, 1, most_outputs(512, 50)), tail)
    (took,) = measured(weights | tail.buffers())
    context.close()
    (thought,) = estimate(measures, (), 0, extent)
    assert took.device == thought.device == "CPU"
    assert took.weights == pytest.approx(thought.weights, abs=LOGGED)
    assert took.kv_cache == pytest.approx(thought.kv_cache, abs=LOGGED)
    compute = took.compute + logits_to_come(measures, extent)
    assert compute <= thought.compute < 1.4 * compute + SMALL


def test_every_pair_of_types_opens_or_is_refused_before(starter: Starter, tail: LogTail) -> None:
    model, measures, _ = starter
    assert set(KV_BLOCKS) == set(KV_TYPES)
    for k, v in PAIRS:
        check_kv_types(measures, k, v)  # heads of 64: none is refused
        context = LlamaContext(model, Shape(256, 1, 16, kv(k, v), 1), tail)
        (took,) = measured(tail.buffers())
        context.close()
        assert took.kv_cache == pytest.approx(256 * kv_bytes_per_cell(measures, k, v), abs=LOGGED), (k, v)


class Rehearsal:
    """A model without weights, opened by llama.cpp as if there were any."""

    def __init__(self, path: Path, name: str, tail: LogTail) -> None:
        write_header(path, *MODELS[name]())
        params = llama_cpp.llama_model_default_params()
        params.no_alloc, params.load_mode = True, llama_cpp.LLAMA_LOAD_MODE_NONE
        llama_cpp.llama_backend_init()
        self._tail = tail
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        path.unlink()
        assert self._model, tail.lines

    def open(self, extent: Extent) -> tuple[float, int] | None:
        """Bytes of the caches as llama.cpp adds them up, and of compute buffers; None where it refuses."""
        params = llama_cpp.llama_context_default_params()
        assert params.swa_full, "windows are kept in full, as estimates suppose"
        params.n_ctx, params.n_seq_max = extent.cells, extent.sequences
        params.n_batch = params.n_ubatch = extent.batch
        params.n_outputs_max = most_outputs(extent.batch, extent.sequences)
        params.n_threads = params.n_threads_batch = 1
        params.type_k, params.type_v = KV_TYPES[extent.kv_cache.k], KV_TYPES[extent.kv_cache.v]
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.kv_unified = True
        self._tail.clear()
        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            return None
        llama_cpp.llama_free(context)
        caches = sum(float(found[1]) for line in self._tail.lines if (found := CACHE.search(line)))
        buffers = self._tail.buffers()
        states = sum(size for (_, purpose), size in buffers.items() if purpose == "RS")
        return caches * MIB + states, measured(buffers)[0].compute

    def close(self) -> None:
        llama_cpp.llama_model_free(self._model)


Rehearse = Callable[[str], Rehearsal]


@pytest.fixture
def rehearse(tmp_path: Path, tail: LogTail) -> Iterator[Rehearse]:
    opened: list[Rehearsal] = []

    def load(name: str) -> Rehearsal:
        opened.append(Rehearsal(tmp_path / "model.gguf", name, tail))
        return opened[-1]

    yield load
    for rehearsal in opened:
        rehearsal.close()


@pytest.mark.parametrize("name", MODELS)
def test_well_known_models_take_what_was_estimated(name: str, rehearse: Rehearse) -> None:
    measures = architecture(name)
    rehearsal = rehearse(name)
    kinds = kv("f16", "f16") if 80 in measures.k_heads else kv("q8_0", "q8_0")
    for cells, sequences, batch in (
        (1024, 8, 512),
        (4096, 8, 64),
        (18432, 50, 512),
        (18432, 50, 2048),
        (18432, 256, 512),
        (65536, 50, 512),
    ):
        extent = Extent(cells, sequences, batch, kinds)
        opened = rehearsal.open(extent)
        assert opened is not None
        caches, compute = opened
        compute += logits_to_come(measures, extent)
        (thought,) = estimate(measures, (), 0, extent)
        assert caches == pytest.approx(thought.kv_cache, abs=3 * LOGGED), extent
        assert compute <= thought.compute < 1.7 * compute + SMALL, extent


def test_a_pair_is_refused_by_the_rule_that_llama_has(rehearse: Rehearse) -> None:
    for name in ("heads of 80", "SmolLM2 135M"):
        measures = architecture(name)
        rehearsal = rehearse(name)
        for k, v in PAIRS:
            try:
                check_kv_types(measures, k, v)
                allowed = True
            except ModelUnavailable:
                allowed = False
            assert (rehearsal.open(Extent(256, 1, 16, kv(k, v))) is not None) == allowed, (name, k, v)


def gpu(name: str, free: float, kind: str = "gpu") -> Device:
    return Device(name, "a card", kind, int(free * GIB), int(free * GIB))


def total(memory: DeviceMemory) -> int:
    return memory.weights + memory.kv_cache


def test_offloaded_layers_leave_the_cpu_and_nothing_is_lost() -> None:
    measures = architecture("Llama 3 8B")
    extent = Extent(8192, 50, 512, kv("q8_0", "q8_0"))
    gpus = (gpu("CUDA0", 8), gpu("CUDA1", 24))
    (alone,) = estimate(measures, gpus, 0, extent)
    for count in range(measures.units + 1):
        memory = estimate(measures, gpus, count, extent)
        assert sum(map(total, memory)) == total(alone), count
    cpu, small, large = memory
    assert cpu.weights == measures.input_weights
    assert cpu.kv_cache == 0
    # By free memory: of 33, the first 9 to the smaller one, the rest and the output layer to the larger.
    assert small.weights == sum(layer.weights for layer in measures.layers[:9])
    assert small.kv_cache * 23 == large.kv_cache * 9
    _, small, large = estimate(measures, gpus, measures.units, Extent(8192, 50, 64, kv("q8_0", "q8_0")))
    assert large.compute > small.compute, "the logits are computed where the output layer is"
    first = estimate(measures, gpus[:1], 1, extent)[1]
    assert (first.weights, first.kv_cache) == (measures.output_weights, 0), "the output layer goes first"


def test_weights_that_the_output_layer_shares_are_copied_to_a_gpu() -> None:
    measures = architecture("Gemma 2 2B")
    cpu, card = estimate(measures, (gpu("CUDA0", 8),), 1, Extent(1024, 8, 64, kv("f16", "f16")))
    assert card.weights == measures.output_weights + measures.shared_weights > 300 * MIB
    assert cpu.weights == measures.input_weights + sum(layer.weights for layer in measures.layers)


def test_the_gpus_are_those_that_llama_takes() -> None:
    cpu = Device("CPU", "", "cpu", GIB, GIB)
    card, inner, other = gpu("CUDA0", 8), gpu("Vulkan0", 4, "igpu"), gpu("ROCm0", 4, "igpu")
    second = gpu("Vulkan1", 4, "igpu")
    assert used_gpus((inner, card, cpu)) == (card,)
    assert used_gpus((inner, other, second, cpu, gpu("BLAS", 0, "accel"))) == (inner, second)
    assert used_gpus((cpu,)) == ()


def test_buffers_are_added_up_for_each_device() -> None:
    buffers = {
        ("CPU_Mapped", "model"): 1,
        ("CPU_REPACK", "model"): 2,
        ("AMX", "model"): 4,
        ("CUDA_Host", "compute"): 8,
        ("CUDA_Host", "output"): 16,
        ("CUDA0", "model"): 32,
        ("CUDA0", "KV"): 64,
        ("CUDA0", "RS"): 128,
        ("CUDA0", "compute"): 256,
        ("MTL0_Mapped", "model"): 512,
        ("MTL0_Private", "compute"): 1024,
        ("CPU", "KV"): 2048,
    }
    assert measured(buffers) == (
        DeviceMemory("CPU", 7, 2048, 24),
        DeviceMemory("CUDA0", 32, 192, 256),
        DeviceMemory("MTL0", 512, 0, 1024),
    )
    assert measured({}) == (DeviceMemory("CPU", 0, 0, 0),)
