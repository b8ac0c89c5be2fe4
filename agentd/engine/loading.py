"""From settings to a model that can work: find the weights, fit them to the machine, load, open the context.

What was loaded is told as llama.cpp reported it. Requests are not known here.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from agentd.engine import schedule
from agentd.engine.architecture import Architecture, read_architecture
from agentd.engine.batch import Batch
from agentd.engine.choice import Choice
from agentd.engine.estimate import measured
from agentd.engine.fit import Plan, fit, smaller
from agentd.engine.llama.build import build_identity
from agentd.engine.llama.context import LlamaContext, Shape
from agentd.engine.llama.devices import devices
from agentd.engine.llama.embedding import EmbeddingContext
from agentd.engine.llama.header import read_header
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel, gpu_in_build
from agentd.engine.prefix import Prefixes
from agentd.engine.prefix_file import Identity, PrefixFolder
from agentd.engine.repack import OnProgress, converted
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.threads import Threads, usable_cores
from agentd.engine.weights import checksum, find_weights
from agentd.errors import ModelUnavailable
from agentd.model import ModelInfo

log = logging.getLogger("agentd.engine")

PREFIX_SHARE = 4  # of the cells, one in so many may hold prefixes
AUTO_WINDOW = 512  # tokens of a text that are embedded as one piece: a few paragraphs


@dataclass(frozen=True, slots=True)
class Running:
    """The weights that run: the user's file, or a copy of it in another type."""

    path: Path
    identity: str  # what a saved state depends on
    story: str  # which and why, for people


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory with an open context."""

    info: ModelInfo
    model: LlamaModel
    context: LlamaContext
    saved: PrefixFolder | None
    threads: Threads | None  # None where the config fixes their number

    def open_batch(self, hurry: Callable[[], bool] | None = None) -> Batch:
        """The loop over this context, with nothing in it; see there for `hurry`."""
        first = self.info.parallel + schedule.INTERACTIVE_SEQUENCES
        middle = first + schedule.PREFIX_SEQUENCES
        prefixes = Prefixes(
            self.context,
            range(first, middle),
            self.info.cells // PREFIX_SHARE,
            self.saved,
            ThreadPoolExecutor(1, "prefixes"),
        )
        branches = range(middle, self.context.shape.sequences)
        return Batch(self.context, self.info.parallel, prefixes, branches, self.threads, hurry)


def load(
    settings: ModelSettings, choice: Choice | None, folder: Path | None, on_convert: OnProgress | None = None
) -> Loaded:
    """Load the model of these settings as far as the machine goes; raises `ModelUnavailable`.

    `on_convert` is told how far a copy of the weights is, where one has to be made first.
    """
    path = find_weights(settings)
    chosen = checksum(settings, path)
    if choice and choice.sha256 not in ("", chosen.sha256):
        choice = None  # the file was replaced since it was measured
    running = find_running(settings, choice, path, chosen.sha256, folder, on_convert)
    tail = LogTail()
    header = read_header(running.path, tail)
    architecture = read_architecture(header.pairs, header.tensors, header.vocabulary)
    plan = fit(architecture, devices(), settings, choice, usable_cores())
    opened = _open(running.path, plan, architecture, tail, _open_context)
    model, context, plan = opened.model, opened.context, opened.plan
    info = ModelInfo(
        path=str(path),
        description=model.description,
        sha256=chosen.sha256,
        context=plan.context,
        kv_cache=str(plan.kv_cache),
        gpu_layers=opened.offloaded,
        layers=model.layers,
        gpu_in_build=gpu_in_build(),
        cells=context.cells,
        parallel=plan.parallel,
        memory=measured(opened.buffers | tail.buffers()),
        weights=running.story,
        notes=plan.notes,
    )
    saved = None
    if folder:
        kv = plan.kv_cache
        saved = PrefixFolder(
            folder / "prefixes", Identity(running.identity, build_identity(), kv.k, kv.v, context.cells)
        )
    return Loaded(info, model, context, saved, Threads(plan.threads) if settings.threads == "auto" else None)


def find_running(
    settings: ModelSettings,
    choice: Choice | None,
    path: Path,
    sha256: str,
    folder: Path | None,
    on_convert: OnProgress | None = None,
) -> Running:
    """Which weights to run for the user's file; makes the copy where one is wanted and there is none."""
    kind, why = str(settings.repack), f"repack: {settings.repack}"
    if kind == "auto" and choice and choice.weights:
        kind = choice.weights
        why = f"{choice.gain:.1f}× the jobs a minute at the same quality, measured {choice.measured[:10]}"
    if kind in ("auto", "off") or folder is None:
        return Running(path, sha256, f"the file as it is ({why})" if kind == "off" else "")
    copy = converted(path, sha256, kind, folder / "weights", on_convert)
    megabytes = copy.stat().st_size / 1e6
    return Running(copy, f"{sha256} as {kind}", f"a {kind} copy of {megabytes:,.0f} MB, {why}")


@dataclass(frozen=True, slots=True)
class LoadedEmbedder:
    """A model for embeddings in memory, ready for texts."""

    info: ModelInfo
    model: LlamaModel
    context: EmbeddingContext
    threads: Threads | None  # None where the config fixes their number


def load_embedder(settings: ModelSettings) -> LoadedEmbedder:
    """Load a model that makes embeddings; raises `ModelUnavailable`."""
    path = find_weights(settings)
    sha256 = checksum(settings, path).sha256
    tail = LogTail()
    header = read_header(path, tail)
    architecture = read_architecture(header.pairs, header.tensors, header.vocabulary)
    plan = fit(architecture, devices(), as_embedder(settings, architecture), None, usable_cores())
    pooling = header.pairs.get(f"{architecture.name}.pooling_type", "")

    def open_context(model: LlamaModel, plan: Plan, tail: LogTail) -> EmbeddingContext:
        return EmbeddingContext(model, plan.context, plan.threads, pooling, tail)

    opened = _open(path, plan, architecture, tail, open_context, embeddings=True)
    model, context, plan = opened.model, opened.context, opened.plan
    info = ModelInfo(
        path=str(path),
        description=model.description,
        sha256=sha256,
        context=context.window,
        kv_cache="f16/f16" if context.caches else "none",
        gpu_layers=opened.offloaded,
        layers=model.layers,
        gpu_in_build=gpu_in_build(),
        memory=measured(opened.buffers | tail.buffers()),
        notes=plan.notes,
        vector=context.size,
    )
    return LoadedEmbedder(info, model, context, Threads(plan.threads) if settings.threads == "auto" else None)


def as_embedder(settings: ModelSettings, architecture: Architecture) -> ModelSettings:
    """What is to be fitted for a model that makes embeddings: each step is on its own.

    So one request with a cache of full precision is all there is.
    """
    window = min(architecture.trained_context, AUTO_WINDOW) if settings.context == "auto" else settings.context
    alone = {"use": "text", "context": window, "parallel": 1, "kv_cache": KvCache(k="f16", v="f16")}
    return settings.model_copy(update=alone)


class _Context(Protocol):
    """Either kind of context."""

    def close(self) -> None:
        """Free it."""


ContextT = TypeVar("ContextT", bound=_Context)


@dataclass(frozen=True, slots=True)
class _Opened(Generic[ContextT]):
    model: LlamaModel
    context: ContextT
    plan: Plan  # that it was loaded by in the end
    offloaded: int  # layers
    buffers: dict[tuple[str, str], int]  # of the weights


def _open(
    path: Path,
    plan: Plan,
    architecture: Architecture,
    tail: LogTail,
    open_context: Callable[[LlamaModel, Plan, LogTail], ContextT],
    *,
    embeddings: bool = False,
) -> _Opened[ContextT]:
    """Load by the plan, or by smaller ones where the memory was not enough after all."""
    while True:
        tail.clear()
        model = None
        try:
            model = LlamaModel(path, tail, gpu_layers=plan.gpu_layers, embeddings=embeddings)
            offloaded, buffers = tail.offloaded(), tail.buffers()  # opening a context clears the log
            return _Opened(model, open_context(model, plan, tail), plan, offloaded, buffers)
        except ModelUnavailable as error:
            if model:
                model.close()
            next_plan = smaller(plan, architecture) if tail.out_of_memory() else None
            if next_plan is None:
                raise
            log.warning("%s: %s; trying with less", path.name, error)
            plan = next_plan


def _open_context(model: LlamaModel, plan: Plan, tail: LogTail) -> LlamaContext:
    outputs = schedule.most_outputs(plan.batch, plan.sequences)
    shape = Shape(plan.cells, plan.sequences, plan.batch, plan.kv_cache, plan.threads, outputs)
    return LlamaContext(model, shape, tail)
