"""The models: whether their files can be what they say, whether they fit, and whether the GPU there is is used.

What a running daemon has loaded is told as it is; for the rest a process of its own estimates.
"""

import importlib.metadata
from collections.abc import Iterator, Mapping

from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.engine import weights
from agentd.engine.devices import gpu_present
from agentd.engine.preview import Held, Preview, preview
from agentd.engine.settings import FAKE, STARTER, ModelSettings
from agentd.errors import AgentdError, EngineCrashed, EngineError, StoreError
from agentd.model import DeviceMemory
from agentd.store import checksums
from agentd.store.inspect import reading

_GIB = 1024**3
_PACKAGE = "llama-cpp-python"
_UNREAD = "not read yet: its first load reads it whole, about a second a GB"


def check_models(home: Home) -> Iterator[Diagnosis]:
    """The file of each model."""
    for name, settings in home.usable.models.items():
        about = f"model {name}"
        if settings.path == FAKE:
            yield warning(about, "is `fake`: it answers with placeholders", home.edit)
            continue
        try:
            file = weights.find_weights(settings)
            if settings.path == STARTER:
                known: str | None = weights.checksum(settings, file).sha256  # 98 MB, and ours to compare
            else:
                known = _known_sha256(home, settings)
        except EngineError as broken:
            yield error(about, broken.message, broken.hint)
            continue
        size = f"{file.stat().st_size / _GIB:.1f} GiB"
        told = f"sha256 {known[:12]}…" if known else _UNREAD
        yield ok(about, f"{file}, {size}, {told}")
    if any(settings.path == STARTER for settings in home.usable.models.values()):
        yield warning("starter model", weights.STARTER_NOTICE, home.edit)


def check_fit(home: Home) -> Iterator[Diagnosis]:
    """Whether llama.cpp works here, what each model takes of the memory, and whether all fit together."""
    loaded = _loaded(home)
    for name, model in loaded.items():
        told = f"{model['gpu_layers']} of {model['layers']} layers on a GPU, context {model['context']:,}"
        yield ok(f"model {name}", f"is loaded: {told}")
    waiting = {
        name: settings
        for name, settings in home.usable.models.items()
        if settings.path != FAKE and name not in loaded and _is_there(settings)
    }
    try:
        found = preview(list(waiting.values()))
    except EngineCrashed as broken:
        pinned = f"{_PACKAGE}=={importlib.metadata.version(_PACKAGE)}"
        hint = f"pip install --force-reinstall --no-binary {_PACKAGE} '{pinned}'"
        yield error(_PACKAGE, broken.message, hint)
        return
    yield from judge_build(found, gpu_present())
    yield from judge_fit(dict(zip(waiting, found.models, strict=True)), found, home.edit)


def judge_build(found: Preview, gpu: str | None) -> Iterator[Diagnosis]:
    """Whether the GPU that is there can be used; pure."""
    used = ", ".join(f"{one.name} ({one.description})" for one in found.devices if one.kind in ("gpu", "igpu"))
    if gpu and not found.gpu_in_build:
        told = f"{found.version}, which cannot use the GPU of this machine"
        yield warning(_PACKAGE, told, f"the command for {gpu} in the README's section “GPU builds”")
    elif gpu and not used:
        told = f"{found.version} is built for GPUs, but finds none that it can use"
        yield warning(_PACKAGE, told, "nvidia-smi" if gpu == "CUDA" else "ls -l /dev/dri /dev/kfd")
    else:
        yield ok(_PACKAGE, f"{found.version}, {used or 'on the CPU'}")


def judge_fit(models: Mapping[str, Held | dict[str, str]], found: Preview, edit: str) -> Iterator[Diagnosis]:
    """Whether each model fits into what is free now, and whether all of them do; pure."""
    needs: dict[str, int] = {}
    for name, held in models.items():
        if isinstance(held, dict):
            refused = AgentdError.from_wire(held)
            yield error(f"model {name}", refused.message, refused.hint)
            continue
        takes = ", ".join(f"{one.device} {_size(_total(one))}" for one in held.memory if _total(one))
        told = f"would take {takes}, with context {held.context:,} and {held.parallel} at a time"
        if held.notes:
            yield warning(f"model {name}", f"{told}; {'; '.join(held.notes)}", edit)
        else:
            yield ok(f"model {name}", told)
        for one in held.memory:
            needs[one.device] = needs.get(one.device, 0) + _total(one)
    for device in found.devices:
        if len(models) > 1 and needs.get(device.name, 0) > device.free:
            together = f"together the models want {_size(needs[device.name])} of {device.name}"
            told = f"{together}, which has {_size(device.free)} free; `keep_alive: 5m` lets them take turns"
            yield warning("memory", told, edit)


def _loaded(home: Home) -> Mapping[str, dict[str, object]]:
    models = home.status["models"] if home.status else {}
    return {name: one for name, one in models.items() if one.get("loaded") and not one.get("fake")}


def _is_there(settings: ModelSettings) -> bool:
    try:
        weights.find_weights(settings)
    except EngineError:
        return False  # `check_models` says why
    return True


def _known_sha256(home: Home, settings: ModelSettings) -> str | None:
    """The checksum that the daemon found, as long as the file has not changed since."""
    look = weights.stamp(weights.find_weights(settings))
    if not home.paths.database.exists():
        return None
    try:
        with reading(home.paths.database) as db:
            return checksums.get(db, look.path, look.size, look.mtime_ns, look.inode)
    except StoreError:
        return None  # the database's own diagnosis says what is wrong with it


def _total(memory: DeviceMemory) -> int:
    return memory.weights + memory.kv_cache + memory.compute


def _size(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
