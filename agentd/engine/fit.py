"""How a model is held in the memory there is: layers on the GPU, the length of requests, how many at once.

Pure: measures, devices and wishes in, a plan out. What the config says is kept or refused with the numbers;
what it leaves open is made as large as fits, and what became smaller than usual is said. Whether the estimate was
right, only loading shows: `smaller` is the next thing to try when it was not.
"""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentd.engine.architecture import HINT, Architecture, check_kv_types, kv_types
from agentd.engine.choice import Choice
from agentd.engine.estimate import CPU, Device, Extent, estimate, used_gpus
from agentd.engine.schedule import BRANCH_SEQUENCES, INTERACTIVE_CELLS, INTERACTIVE_SEQUENCES, PREFIX_SEQUENCES
from agentd.engine.settings import KvCache, ModelSettings
from agentd.errors import ModelUnavailable
from agentd.model import DeviceMemory

AUTO_CONTEXT = 8192  # tokens: room for a long note
AUTO_PARALLEL = 8
AUTO_BATCH = 512
AUTO_KV_TYPE = "q8_0"
LEAST_CONTEXT = 1024  # what `auto` never goes below: a smaller one fits no task
JOB_CELLS = 1024  # of the cache, for each request beside the longest
MOST_SEQUENCES = 256  # LLAMA_MAX_SEQ
_OTHER_SEQUENCES = INTERACTIVE_SEQUENCES + PREFIX_SEQUENCES + BRANCH_SEQUENCES
MOST_PARALLEL = MOST_SEQUENCES - _OTHER_SEQUENCES
_STEP = 256  # llama.cpp rounds the cells up to a multiple of it
_MARGIN = 256 * 1024**2  # bytes left free on each device …
_MARGIN_SHARE = 0.05  # … or this part of what is free, where it is more
_STRIDES = 8  # steps in which the layers on a GPU become fewer


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is to be loaded."""

    gpu_layers: int  # as llama.cpp counts them, the output layer among them
    context: int  # tokens that one request may take
    parallel: int  # requests at the same time
    cells: int  # tokens that the KV cache holds, over all requests
    sequences: int
    batch: int  # tokens a step
    kv_cache: KvCache  # no `auto` in it
    threads: int
    devices: tuple[Device, ...]  # what was there when the plan was made
    fixed: frozenset[str]  # what the config says, which is not changed
    estimates: tuple[DeviceMemory, ...] = ()  # what each device gives, the CPU first
    notes: tuple[str, ...] = ()  # what was made smaller, and why


def fit(
    architecture: Architecture,
    devices: Sequence[Device],
    settings: ModelSettings,
    choice: Choice | None,
    cpu_cores: int,
) -> Plan:
    """Choose what the settings leave open; `choice` is what was measured to be best, in place of the defaults.

    The CPU must be among the devices. Raises `ModelUnavailable` where what the settings say cannot be, or where
    nothing fits.
    """
    wanted = _wishes(architecture, tuple(devices), settings, choice, cpu_cores)
    for plan in _candidates(wanted, architecture):
        fitted = _fit_layers(plan, architecture, margin=True)
        if fitted is not None:
            return _explain(fitted, wanted)
    smallest = _changed(plan, architecture, cells=_round_up(plan.context))
    fitted = _fit_layers(smallest, architecture, margin=False)  # rather all memory than no model
    if fitted is None:
        raise _refusal(smallest, architecture)
    return _explain(fitted, wanted, "memory: nearly all of what is free is taken")


def smaller(plan: Plan, architecture: Architecture) -> Plan | None:
    """The next plan to try when there was not enough memory after all; None where nothing is left to give up."""
    changes: dict[str, int] = {}
    if plan.gpu_layers and "gpu_layers" not in plan.fixed:
        stride = max(1, architecture.units // _STRIDES)
        changes["gpu_layers"] = max(0, plan.gpu_layers - stride)
    elif plan.cells > _round_up(plan.context):
        changes["cells"] = _round_up(plan.context)
    elif plan.context > LEAST_CONTEXT and "context" not in plan.fixed:
        changes["context"] = max(LEAST_CONTEXT, plan.context // 2)
        changes["cells"] = _round_up(changes["context"])
    elif plan.parallel > 1 and _takes_memory_a_sequence(plan, architecture):
        changes["parallel"] = plan.parallel // 2
    else:
        return None
    subject = next(iter(changes))
    now = f"{changes[subject]:,} instead of {getattr(plan, subject):,}"
    note = f"{subject}: {now}, since there was not enough memory at load"
    kept = tuple(old for old in plan.notes if not old.startswith(f"{subject}: "))
    return dataclasses.replace(_changed(plan, architecture, **changes), notes=(*kept, note))


def _wishes(
    architecture: Architecture,
    devices: tuple[Device, ...],
    settings: ModelSettings,
    choice: Choice | None,
    cpu_cores: int,
) -> Plan:
    """What would be taken if memory had no end."""
    trained = architecture.trained_context
    context = min(trained, AUTO_CONTEXT) if settings.context == "auto" else settings.context
    if context > trained:
        raise ModelUnavailable(
            f"context: {context:,} is more than the {trained:,} tokens this model was trained with", hint=HINT
        )
    usual = choice.parallel if choice else AUTO_PARALLEL
    parallel = min(usual, MOST_PARALLEL) if settings.parallel == "auto" else settings.parallel
    if parallel > MOST_PARALLEL:
        raise ModelUnavailable(
            f"parallel: {parallel:,} is more than the {MOST_PARALLEL} requests that llama.cpp has sequences for",
            hint=HINT,
        )
    kv_cache, notes = _kv_cache(architecture, settings.kv_cache, choice)
    gpus = used_gpus(devices)
    gpu_layers = architecture.units
    if isinstance(settings.gpu_layers, int):
        gpu_layers = min(settings.gpu_layers, architecture.units)
    if not gpus:
        if settings.gpu_layers not in ("auto", 0):
            notes.append("gpu_layers: 0, since llama.cpp finds no GPU that it can use")
        gpu_layers = 0
    elif gpu_layers:
        notes += _gpu_notes(gpus, kv_cache)
    plan = Plan(
        gpu_layers=gpu_layers,
        context=context,
        parallel=parallel,
        cells=0,
        sequences=0,
        batch=choice.batch if choice else AUTO_BATCH,
        kv_cache=kv_cache,
        threads=_threads(settings, choice, cpu_cores),
        devices=devices,
        fixed=frozenset(
            name for name in ("gpu_layers", "context", "parallel") if getattr(settings, name) != "auto"
        ),
        notes=tuple(notes),
    )
    return _changed(plan, architecture, cells=_liked_cells(context, parallel))


def _threads(settings: ModelSettings, choice: Choice | None, cpu_cores: int) -> int:
    if settings.threads != "auto":
        return settings.threads
    return choice.threads if choice else max(cpu_cores, 1)


def _kv_cache(architecture: Architecture, settings: KvCache, choice: Choice | None) -> tuple[KvCache, list[str]]:
    """The types of the cache: as set, or else as measured, or else the default, or else what works."""
    usual = (choice.kv_cache_k, choice.kv_cache_v) if choice else (AUTO_KV_TYPE, AUTO_KV_TYPE)
    if architecture.one_cache and (settings.k == "auto") != (settings.v == "auto"):
        usual = (settings.v, settings.k)  # only equal types work, so the other half follows
    types, notes = [], []
    for name, kind, instead, possible in zip(
        "kv", (settings.k, settings.v), usual, kv_types(architecture), strict=True
    ):
        if kind == "auto" and instead not in possible:
            notes.append(f"kv_cache: {name}: f16, since {instead} does not work with this model")
            instead = "f16"
        types.append(instead if kind == "auto" else kind)
    check_kv_types(architecture, *types)
    return KvCache.model_validate({"k": types[0], "v": types[1]}), notes


def _gpu_notes(gpus: Sequence[Device], kv_cache: KvCache) -> list[str]:
    """Types that llama.cpp takes on these GPUs, but then attends on the CPU."""
    slow = {"MTL": kv_cache.k != kv_cache.v, "CUDA": "iq4_nl" in (kv_cache.k, kv_cache.v)}
    found = [name for name, is_slow in slow.items() if is_slow and gpus[0].name.startswith(name)]
    return [
        f"kv_cache: {kv_cache} is slow here: {name} has no attention for it, so the CPU does that part"
        for name in found
    ]


def _candidates(wanted: Plan, architecture: Architecture) -> Iterator[Plan]:
    """The plan with ever shorter requests, then with ever fewer of them."""
    context, parallel = wanted.context, wanted.parallel
    yield wanted
    while "context" not in wanted.fixed and context > LEAST_CONTEXT:
        context = max(LEAST_CONTEXT, context // 2)
        yield _changed(
            wanted, architecture, context=context, parallel=parallel, cells=_liked_cells(context, parallel)
        )
    while parallel > 1 and _takes_memory_a_sequence(wanted, architecture):
        parallel //= 2
        yield _changed(
            wanted, architecture, context=context, parallel=parallel, cells=_liked_cells(context, parallel)
        )


def _takes_memory_a_sequence(plan: Plan, architecture: Architecture) -> bool:
    """Whether fewer requests at once would take less; those of a cache share its cells anyway."""
    return "parallel" not in plan.fixed and any(layer.state for layer in architecture.layers)


def _fit_layers(plan: Plan, architecture: Architecture, margin: bool) -> Plan | None:
    """The plan with as many layers on the GPU, and then as many cells, as fit; None where it cannot be."""
    least = _round_up(plan.context)
    tries = [(plan.gpu_layers, least)]
    if "gpu_layers" not in plan.fixed:
        # All layers with few cells go before fewer layers: a single one on the CPU costs more than jobs that wait.
        fewer = range(plan.gpu_layers - 1, -1, -1)
        tries += [(layers, cells) for cells in (plan.cells, least) for layers in fewer]
    for layers, cells in tries:
        if _fits(_changed(plan, architecture, gpu_layers=layers, cells=cells), margin):
            return _most_cells(_changed(plan, architecture, gpu_layers=layers), architecture, cells, margin)
    return None


def _most_cells(plan: Plan, architecture: Architecture, least: int, margin: bool) -> Plan:
    """The plan with as many cells as fit, from `least`, which do, up to its own."""

    def fits(steps: int) -> bool:
        return _fits(_changed(plan, architecture, cells=least + steps * _STEP), margin)

    steps = bisect.bisect_left(range(1, (plan.cells - least) // _STEP + 1), True, key=lambda step: not fits(step))
    return _changed(plan, architecture, cells=least + steps * _STEP)


def _fits(plan: Plan, margin: bool) -> bool:
    return all(
        need + (max(_MARGIN, int(free * _MARGIN_SHARE)) if margin else 0) <= free
        for _, need, free in _balance(plan)
    )


def _balance(plan: Plan) -> list[tuple[str, int, int]]:
    """The name of each memory, and the bytes of it that the plan takes and that are free."""
    needs = {memory.device: memory.weights + memory.kv_cache + memory.compute for memory in plan.estimates}
    balance = []
    for device in plan.devices:
        if device.kind in ("gpu", "igpu") and device.name in needs:
            balance.append((device.name, needs[device.name], device.free))
        elif device.kind == "cpu":
            shared = [other.name for other in plan.devices if other.kind == "igpu"]
            need = needs[CPU] + sum(needs.get(name, 0) for name in shared)
            balance.append((CPU, need, device.free))
    return balance


def _explain(plan: Plan, wanted: Plan, *more: str) -> Plan:
    """The plan with a note of each thing that became smaller than it would be with more memory."""
    liked = dataclasses.replace(wanted, cells=_liked_cells(plan.context, plan.parallel))
    fullest, _, room = min(_balance(plan), key=lambda row: row[2] - row[1])
    gpus = used_gpus(plan.devices)
    notes = []
    for subject in ("gpu_layers", "context", "parallel", "cells"):
        if (now := getattr(plan, subject)) < (before := getattr(liked, subject)):
            where, free = fullest, room
            if subject == "gpu_layers":
                where, free = " and ".join(gpu.name for gpu in gpus), sum(gpu.free for gpu in gpus)
            notes.append(f"{subject}: {now:,} instead of {before:,}, since {where} has {_size(free)} free")
    return dataclasses.replace(plan, notes=(*plan.notes, *notes, *more))


def _refusal(plan: Plan, architecture: Architecture) -> ModelUnavailable:
    """Why the smallest plan cannot be, told of the split that comes nearest."""
    layers = [plan.gpu_layers] if "gpu_layers" in plan.fixed else range(plan.gpu_layers + 1)
    plans = [_changed(plan, architecture, gpu_layers=count) for count in layers]
    balance = min(
        (_balance(one) for one in plans), key=lambda rows: sum(max(0, need - free) for _, need, free in rows)
    )
    lacking = [
        f"{name} has {_size(free)} free of the {_size(need)} that it takes"
        for name, need, free in balance
        if need > free
    ]
    kept = [f"{name}: {getattr(plan, name):,}" for name in sorted(plan.fixed)]
    told = f" with {', '.join(kept)}" if kept else ""
    return ModelUnavailable(f"there is not enough memory for this model{told}: {'; '.join(lacking)}", hint=HINT)


def _changed(plan: Plan, architecture: Architecture, **changes: int) -> Plan:
    """The plan with other numbers, and with what follows from them."""
    changed = dataclasses.replace(plan, **changes)  # type: ignore[arg-type]
    sequences = changed.parallel + _OTHER_SEQUENCES
    # llama.cpp aborts where a step could not hold one token of each sequence.
    batch = min(max(changed.batch, sequences), changed.cells)
    extent = Extent(changed.cells, sequences, batch, changed.kv_cache)
    estimates = estimate(architecture, changed.devices, changed.gpu_layers, extent)
    return dataclasses.replace(changed, sequences=sequences, batch=batch, estimates=estimates)


def _liked_cells(context: int, parallel: int) -> int:
    """Cells for one request of full length, a short interactive one, and all others at once."""
    return _round_up(context + min(INTERACTIVE_CELLS, context) + parallel * JOB_CELLS)


def _round_up(tokens: int) -> int:
    return -(-tokens // _STEP) * _STEP


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"
