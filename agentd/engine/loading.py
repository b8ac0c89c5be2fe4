"""From settings to a model that can work: find the weights, fit them to the machine, load, open the context.

What was loaded is told as llama.cpp reported it. Requests are not known here.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from agentd.engine import schedule
from agentd.engine.batch import Batch
from agentd.engine.choice import Choice
from agentd.engine.llama.build import build_identity
from agentd.engine.llama.context import LlamaContext, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel, gpu_in_build
from agentd.engine.prefix import Prefixes
from agentd.engine.prefix_file import Identity, PrefixFolder
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import checksum, find_weights
from agentd.errors import ModelUnavailable
from agentd.model import ModelInfo

PREFIX_SHARE = 4  # of the cells, one in so many may hold prefixes


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory with an open context."""

    info: ModelInfo
    model: LlamaModel
    context: LlamaContext
    prefixes: PrefixFolder | None

    def open_batch(self) -> Batch:
        """The loop over this context, with nothing in it."""
        first = self.info.parallel + schedule.INTERACTIVE_SEQUENCES
        middle = first + schedule.PREFIX_SEQUENCES
        prefixes = Prefixes(
            self.context,
            range(first, middle),
            self.info.cells // PREFIX_SHARE,
            self.prefixes,
            ThreadPoolExecutor(1, "prefixes"),
        )
        return Batch(self.context, self.info.parallel, prefixes, range(middle, self.context.shape.sequences))


def load(settings: ModelSettings, choice: Choice | None, folder: Path | None) -> Loaded:
    """Load the model of these settings as far as the machine goes; raises `ModelUnavailable`."""
    path = find_weights(settings)
    weights = checksum(settings, path)
    tail = LogTail()
    model = LlamaModel(path, tail)
    layers = tail.offloaded()
    trained = model.trained_context
    wanted = min(trained, 8192) if settings.context == "auto" else settings.context
    if wanted > trained:
        raise ModelUnavailable(
            f"context: {wanted:,} is more than the {trained:,} tokens this model was trained with",
            hint="agentd config path",
        )
    parallel = (choice.parallel if choice else 8) if settings.parallel == "auto" else settings.parallel
    k = settings.kv_cache.k if settings.kv_cache.k != "auto" else choice.kv_cache_k if choice else "q8_0"
    v = settings.kv_cache.v if settings.kv_cache.v != "auto" else choice.kv_cache_v if choice else "q8_0"
    shape = Shape(
        cells=wanted + 2048 + parallel * 1024,
        sequences=parallel
        + schedule.INTERACTIVE_SEQUENCES
        + schedule.PREFIX_SEQUENCES
        + schedule.BRANCH_SEQUENCES,
        batch=choice.batch if choice else 512,
        kv_cache=KvCache(k=k, v=v),
        threads=settings.threads if settings.threads != "auto" else psutil.cpu_count(logical=False) or 1,
    )
    context = LlamaContext(model, shape, tail)
    info = ModelInfo(
        path=str(path),
        description=model.description,
        sha256=weights.sha256,
        context=wanted,
        kv_cache=str(shape.kv_cache),
        gpu_layers=layers,
        layers=model.layers,
        gpu_in_build=gpu_in_build(),
        cells=shape.cells,
        parallel=parallel,
    )
    files = None
    if folder:
        identity = Identity(weights.sha256, build_identity(), shape.kv_cache.k, shape.kv_cache.v, shape.cells)
        files = PrefixFolder(folder / "prefixes", identity)
    return Loaded(info, model, context, files)
