"""How models would be held here, found out without loading any. `python -P -m agentd.engine.preview`.

Settings come on standard input as a JSON list, one answer for each goes to standard output. A process of its own,
like every one that touches llama.cpp: a header that breaks its parser, or a build that this processor cannot run,
ends that process and nothing else. Whether the estimate is right, only loading shows.
"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from agentd.engine.estimate import Device
from agentd.engine.settings import ModelSettings
from agentd.errors import AgentdError, EngineCrashed, EngineTimeout
from agentd.model import DeviceMemory

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """How one model would be held."""

    context: int
    parallel: int
    gpu_layers: int
    layers: int
    memory: tuple[DeviceMemory, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What this machine has, and what models would take of it."""

    version: str  # of llama-cpp-python
    gpu_in_build: bool
    devices: tuple[Device, ...]
    models: tuple[Held | dict[str, str], ...]  # in the order of the settings; an error as `to_wire` writes it


def preview(settings: list[ModelSettings], seconds: float = SECONDS) -> Preview:
    """Ask a process of its own; raises `EngineCrashed` where it dies, `EngineTimeout` where it does not answer."""
    given = json.dumps([one.model_dump(mode="json") for one in settings])
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineTimeout(f"llama.cpp did not tell of its devices within {seconds:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        how = (
            f"died of {signal.Signals(-done.returncode).name}"
            if done.returncode < 0
            else (said or ["no word"])[-1]
        )
        raise EngineCrashed(f"llama.cpp cannot be used here: {how}")
    return TypeAdapter(Preview).validate_json(done.stdout)


def main() -> None:
    """Answer for the settings on standard input."""
    settings = TypeAdapter(list[ModelSettings]).validate_json(sys.stdin.read())
    print(json.dumps(asdict(_look(settings))))  # noqa: T201 - the answer


def _look(settings: list[ModelSettings]) -> Preview:
    # Not at the top: whoever asks must not load what only the process that answers may.
    import importlib.metadata

    from agentd.engine.llama.devices import devices
    from agentd.engine.llama.model import gpu_in_build

    found = devices()
    models: list[Held | dict[str, str]] = []
    for one in settings:
        try:
            models.append(_held(one, found))
        except AgentdError as error:
            models.append(error.to_wire())
    version = importlib.metadata.version("llama-cpp-python")
    return Preview(version, gpu_in_build(), found, tuple(models))


def _held(settings: ModelSettings, found: Any) -> Held:
    from agentd.engine.architecture import read_architecture
    from agentd.engine.fit import fit
    from agentd.engine.llama.header import read_header
    from agentd.engine.llama.log import LogTail
    from agentd.engine.loading import as_embedder
    from agentd.engine.settings import EMBEDDINGS
    from agentd.engine.threads import usable_cores
    from agentd.engine.weights import find_weights

    header = read_header(find_weights(settings), LogTail())
    architecture = read_architecture(header.pairs, header.tensors, header.vocabulary)
    if settings.use == EMBEDDINGS:
        settings = as_embedder(settings, architecture)
    plan = fit(architecture, found, settings, None, usable_cores())
    return Held(plan.context, plan.parallel, plan.gpu_layers, architecture.units, plan.estimates, plan.notes)


if __name__ == "__main__":
    main()
