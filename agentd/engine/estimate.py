"""How much memory a model will take of each device, computed before anything is loaded.

Pure. Weights and caches are exact; compute buffers follow formulas that were held against llama.cpp's own figures
on a CPU for ten models: 1.0 to 1.8 times those, most of it where a buffer is small or the cache very long. What
CUDA keeps beside its buffers is not known here, nor the second copy of weights that llama.cpp rearranges for a CPU
(it drops out of the page cache when memory is wanted): margins are for that.
"""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentd.engine.architecture import Architecture, layer_cell_bytes
from agentd.engine.schedule import most_outputs
from agentd.engine.settings import KvCache
from agentd.model import DeviceMemory

CPU = "CPU"
_SMALL = 8 * 1024**2  # bytes: of all that grows with nothing
_PIPELINE_COPIES = 4  # of the inputs, where several GPUs take turns (GGML_SCHED_MAX_COPIES)


@dataclass(frozen=True, slots=True)
class Device:
    """Something that llama.cpp can compute on, and its memory in bytes."""

    name: str  # llama.cpp's name of it: CPU, CUDA0, MTL0 …
    description: str
    kind: str  # cpu, gpu, igpu (a GPU that shares the CPU's memory) or accel (a helper of the CPU)
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a context is to be."""

    cells: int  # tokens that the KV cache holds, over all sequences
    sequences: int
    batch: int  # tokens a step
    kv_cache: KvCache  # no `auto` in it


def used_gpus(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those that llama.cpp spreads layers over: the GPUs, and only without any the integrated ones of one kind."""
    gpus = tuple(device for device in devices if device.kind == "gpu")
    integrated = [device for device in devices if device.kind == "igpu"]
    return gpus or tuple(device for device in integrated if _interface(device) == _interface(integrated[0]))


def estimate(
    architecture: Architecture, devices: Sequence[Device], gpu_layers: int, extent: Extent
) -> tuple[DeviceMemory, ...]:
    """What each device gives when `gpu_layers` of the model are offloaded; the CPU first.

    `gpu_layers` counts from the output layer down, as llama.cpp does.
    """
    gpus = used_gpus(devices) if gpu_layers else ()
    names = [CPU, *(gpu.name for gpu in gpus)]
    places = _place(architecture.units, gpu_layers, gpus)
    weights, caches = [0] * len(names), [0] * len(names)
    for layer, place in zip(architecture.layers, places, strict=False):
        weights[place] += layer.weights
        caches[place] += layer_cell_bytes(layer, extent.kv_cache.k, extent.kv_cache.v) * extent.cells
        caches[place] += layer.state * extent.sequences
    output = places[-1]
    weights[0] += architecture.input_weights
    weights[output] += architecture.output_weights + (architecture.shared_weights if output else 0)
    compute = _compute(architecture, extent, places, len(gpus))
    return tuple(map(DeviceMemory, names, weights, caches, compute))


def measured(buffers: Mapping[tuple[str, str], int]) -> tuple[DeviceMemory, ...]:
    """What loading took of each device, from the buffers that llama.cpp logged by (name, what for)."""
    sums: dict[str, dict[str, int]] = {CPU: {}}
    columns = {"model": "weights", "KV": "kv_cache", "RS": "kv_cache"}  # everything else is compute
    for (name, purpose), size in buffers.items():
        row = sums.setdefault(_device(name), {})
        column = columns.get(purpose, "compute")
        row[column] = row.get(column, 0) + size
    return tuple(
        DeviceMemory(device, row.get("weights", 0), row.get("kv_cache", 0), row.get("compute", 0))
        for device, row in sums.items()
    )


def _place(units: int, gpu_layers: int, gpus: Sequence[Device]) -> list[int]:
    """For each layer and the output layer at the end, where it goes: 0 for the CPU, or 1 + the GPU's number.

    The split is llama.cpp's own: by free memory, from the first offloaded layer on.
    """
    offloaded = min(gpu_layers, units) if gpus else 0
    places = [0] * (units - offloaded)
    bounds = list(itertools.accumulate(gpu.free for gpu in gpus))
    for index in range(offloaded):
        share = index / offloaded * bounds[-1]
        places.append(1 + min(bisect.bisect_right(bounds, share), len(gpus) - 1))
    return places


def _compute(architecture: Architecture, extent: Extent, places: Sequence[int], gpus: int) -> list[int]:
    """Bytes of compute buffers, for the CPU and each GPU."""
    tokens = -(-extent.batch // extent.sequences) * extent.sequences  # graphs are laid out for equal sequences
    # Two, since many families attend through a window in every other layer, and the header tells it in many ways.
    masks = 4 * tokens * extent.cells if any(layer.k_width for layer in architecture.layers) else 0
    inputs = 4 * tokens * architecture.embedding + masks
    width = max(architecture.embedding, architecture.attention)
    states = max(layer.state for layer in architecture.layers) * extent.sequences
    layer = masks + states + 4 * tokens * (2 * architecture.feed_forward + 9 * width)
    rows = most_outputs(extent.batch, extent.sequences)
    logits = 4 * rows * architecture.vocabulary
    # The last layer's values of every token, of which two copies of the wanted rows are made.
    output = logits + 4 * (tokens + 2 * rows) * architecture.embedding
    # Flash attention on a GPU turns the quantized cache of a layer into f16 first.
    copies = sum(
        2 * extent.cells * max(getattr(one, f"{name}_width") for one in architecture.layers)
        for name in "kv"
        if getattr(extent.kv_cache, name) != "f16"
    )
    used = set(places)
    needs = []
    for place in range(gpus + 1):
        has_output = places[-1] == place
        need = _SMALL + max(layer if place in used else 0, output if has_output else 0)
        if place == 0:
            # The logits land here wherever they were computed: at first in room for one row a sequence, which
            # grows when a step gives more.
            need = (need if 0 in used else inputs) + logits
        elif 0 in used:
            # Large batches of layers on the CPU are computed by a GPU, which gets a copy of the weights.
            need += copies + architecture.largest_tensor
        else:
            need += copies + ((_PIPELINE_COPIES - 1) * inputs if gpus > 1 else 0)
        needs.append(need)
    return needs


def _device(buffer: str) -> str:
    """The device whose memory a buffer of llama.cpp takes: CPU for CPU_Mapped and CUDA_Host, CUDA0 for CUDA0."""
    name, _, rest = buffer.partition("_")
    return CPU if rest == "Host" or name == "AMX" else name


def _interface(device: Device) -> str:
    return device.name.rstrip("0123456789")
