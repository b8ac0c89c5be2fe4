"""Measure settings of one model on this machine: short samples of its speed, whole jobs, perplexity.

Whole jobs run as in the engine child, through `LocalModel`; samples evaluate the shapes of its steps. One set of
weights and one context are held at a time. Which settings are worth it, and what is to be done about the figures,
is not known here.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil

from agentd.engine import schedule
from agentd.engine.architecture import Architecture, read_architecture
from agentd.engine.choice import Choice
from agentd.engine.fit import Plan, fit
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.devices import devices
from agentd.engine.llama.header import read_header
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.local import LocalModel
from agentd.engine.perplexity import CHUNK, perplexity
from agentd.engine.repack import OnProgress, converted
from agentd.engine.schedule import Pace
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.threads import others_between, own_cores, take_sample, usable_cores
from agentd.engine.tune import Setting, Space, search_space
from agentd.engine.weights import checksum, find_weights
from agentd.errors import AgentdError, ModelUnavailable
from agentd.model import Generation, Request

ANSWER_STEPS = 4  # of a short sample
PERPLEXITY_TOKENS = 4 * CHUNK
PERPLEXITY_BATCH = 128
LIMIT_PROMPTS = (64, 128, 256, 512)  # tokens a step
LIMIT_ANSWERS = (1, 4, 8, 16, 32)  # sequences
LIMIT_ROUNDS = 2
LIMIT_SECONDS = 1.0  # a step that takes longer is the largest that is tried
_BASE, _OWN, _FIRST = 0, 1, 2  # sequences: what all stand on, a prompt after it, and the answers

OnJob = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Run:
    """Whole jobs that were done beside each other."""

    jobs_a_minute: float
    generations: dict[int, Generation]  # by the number of the request; one that failed is missing
    steps: int  # in which an answer grew, over all answers


class Bench:
    """One model on this machine. Raises `ModelUnavailable` where it cannot be loaded.

    Converted copies are made in `folder`, which is its own.
    """

    def __init__(self, settings: ModelSettings, folder: Path, texts: Sequence[str]) -> None:
        self.path = find_weights(settings)
        self.sha256 = checksum(settings, self.path).sha256
        self._settings = settings
        self._folder = folder
        self._texts = texts
        self._tail = LogTail()
        self._devices = devices()  # what is free while nothing is loaded
        self._architectures: dict[Path, Architecture] = {}
        self._model: LlamaModel | None = None
        self._loaded = ""  # the type of its weights
        self._tokens: list[int] = []
        self._context: LlamaContext | None = None
        self._opened: Setting | None = None
        self._base = 0  # tokens in the sequence that all stand on
        self._pace = Pace(1)
        self._looks: list[tuple[float, float]] = []  # seconds, and cores' worth of others
        header = read_header(self.path, self._tail)
        self._architectures[self.path] = read_architecture(header.pairs, header.tensors, header.vocabulary)
        self._default = self._fit(settings, None, self.path)
        open_ = ModelSettings(path=settings.path, context=settings.context, gpu_layers=settings.gpu_layers)
        self.space: Space = search_space(
            settings,
            self._default,
            self._fit(open_, None, self.path),
            self._architectures[self.path],
            header.pairs.get("general.file_type", ""),
            (usable_cores(), psutil.cpu_count(logical=False) or 1),
        )

    @property
    def others(self) -> float:
        """Cores' worth of CPU that other processes used while something was measured."""
        seconds = sum(taken for taken, _ in self._looks)
        return sum(taken * cores for taken, cores in self._looks) / seconds if seconds else 0.0

    def make_copy(self, kind: str, on_progress: OnProgress) -> Path:
        """The converted copy of a type; raises `ModelUnavailable` where it cannot be made."""
        return converted(self.path, self.sha256, kind, self._folder, on_progress)

    def run(self, setting: Setting, requests: Mapping[int, Request], on_job: OnJob) -> Run:
        """Do all requests beside each other; what they begin with is computed before the clock starts."""
        self.close()
        file = self._file(setting.weights)
        self._plan(setting, file)
        settings = self._as_settings(setting).model_copy(update={"path": str(file), "repack": "off"})
        model = LocalModel(settings, _as_choice(setting))
        try:
            beginnings = {request.messages[: request.shared]: request for request in requests.values()}
            opening = [replace(one, schema=None, decide=(), max_tokens=1) for one in beginnings.values()]
            _work(model, dict(enumerate(opening)), lambda: None)
            with self._watched():
                began = time.perf_counter()
                generations, steps = _work(model, requests, on_job)
                seconds = time.perf_counter() - began
        finally:
            model.close()
        return Run(60 * len(generations) / seconds, generations, steps)

    def sample(self, setting: Setting, base: int, size: int, feed: int) -> tuple[float, float]:
        """Tokens a second of a prompt of `size` tokens, and of answers that grow by `feed` tokens a step.

        Both follow `base` tokens that they share. The first sample of a context takes longer, to compute these.
        """
        context = self._open(setting, base)
        context.set_threads(setting.threads)
        with self._watched():
            prompt = size / self._read_prompt(context, size)
            seconds = self._write_answers(context, setting.parallel, size, feed)
        return prompt, setting.parallel * feed / median(seconds)

    def best_rates(self, setting: Setting, base: int) -> tuple[float, float]:
        """The best rates of all sizes of a step, in tokens a second: only prompts, and a token of each answer."""
        context = self._open(replace(setting, parallel=max(LIMIT_ANSWERS)), base)
        context.set_threads(setting.threads)
        prompts = [0.0]
        with self._watched():
            for size in LIMIT_PROMPTS:
                if size <= context.shape.batch:
                    seconds = min(self._read_prompt(context, size, at_once=size) for _ in range(LIMIT_ROUNDS))
                    prompts.append(size / seconds)
                    if seconds > LIMIT_SECONDS:
                        break
            size = LIMIT_PROMPTS[0]
            self._read_prompt(context, size)
            answers = [
                count / min(self._write_answers(context, count, size, 1, at_once=count)) for count in LIMIT_ANSWERS
            ]
        return max(prompts), max(answers)

    def perplexity(self, setting: Setting) -> float:
        """The perplexity of the texts."""
        model = self._load(setting.weights)
        self._close_context()
        shape = Shape(CHUNK, 1, PERPLEXITY_BATCH, _kv_cache(setting), setting.threads)
        context = LlamaContext(model, shape, self._tail)
        try:
            return perplexity(context, self._tokens_of(PERPLEXITY_TOKENS), model.bos)
        finally:
            context.close()

    def close(self) -> None:
        """Free what is loaded; it is loaded again when it is needed."""
        self._close_context()
        if self._model:
            self._model.close()
            self._model = None

    def _read_prompt(self, context: LlamaContext, size: int, at_once: int = 0) -> float:
        """Let a sequence read a prompt after the base; the seconds it took.

        The steps are as large as the engine would take them, or of `at_once` tokens.
        """
        context.drop(_OWN)
        context.copy(_BASE, _OWN)
        return self._feed(context, _OWN, self._base, size, at_once)

    def _feed(self, context: LlamaContext, sequence: int, start: int, count: int, at_once: int = 0) -> float:
        tokens = self._tokens_of(start + count)[start:]
        began, fed = time.perf_counter(), 0
        while fed < count:
            step = tokens[fed : fed + (at_once or schedule.whole_tiles(self._pace.budget, context.tile))]
            before = time.perf_counter()
            context.decode([Segment(sequence, start + fed, step, 1)])
            self._pace = self._pace.after(len(step), time.perf_counter() - before)
            fed += len(step)
        return time.perf_counter() - began

    def _write_answers(
        self, context: LlamaContext, count: int, size: int, feed: int, at_once: int = 0
    ) -> list[float]:
        """Let so many answers grow after the prompt of `size` that was read last; the seconds of each round."""
        sequences = range(_FIRST, _FIRST + count)
        for sequence in sequences:
            context.copy(_OWN, sequence)
        seconds = []
        for step in range(ANSWER_STEPS):
            start = self._base + size + step * feed
            tokens = self._tokens_of(start + feed)[start:]
            began = time.perf_counter()
            for part in _batched(sequences, at_once or max(self._pace.budget // feed, 1)):
                for group in schedule.apart([(feed, False)] * len(part), 0 if at_once else context.tile):
                    context.decode([Segment(part[index], start, tokens, 1) for index in group])
            seconds.append(time.perf_counter() - began)
        for sequence in sequences:
            context.drop(sequence)
        return seconds

    def _open(self, setting: Setting, base: int) -> LlamaContext:
        """A context of this setting in which the base stands; other threads need no other one."""
        wanted = replace(setting, threads=0)
        if self._context and self._opened == wanted and self._base == base:
            return self._context
        self._close_context()
        plan = self._plan(setting, self._file(setting.weights))
        model = self._load(setting.weights)
        outputs = schedule.most_outputs(plan.batch, plan.sequences)
        shape = Shape(plan.cells, plan.sequences, plan.batch, plan.kv_cache, plan.threads, outputs)
        self._context = LlamaContext(model, shape, self._tail)
        self._opened, self._base = wanted, base
        self._pace = Pace.first(plan.batch, self._context.tile, calm=self._context.breakable)
        self._feed(self._context, _BASE, 0, base)
        return self._context

    def _load(self, weights: str) -> LlamaModel:
        if self._model is None or self._loaded != weights:
            self.close()
            file = self._file(weights)
            self._model = LlamaModel(file, self._tail, gpu_layers=self._default.gpu_layers)
            self._loaded = weights
            self._tokens = [token for text in self._texts for token in self._model.tokenize(text, special=False)]
        return self._model

    def _tokens_of(self, count: int) -> list[int]:
        """So many tokens of the texts, over again where they are shorter."""
        return list(itertools.islice(itertools.cycle(self._tokens), count))

    def _close_context(self) -> None:
        if self._context:
            self._context.close()
            self._context = None

    def _file(self, weights: str) -> Path:
        return self.make_copy(weights, lambda _share: None) if weights else self.path

    def _plan(self, setting: Setting, file: Path) -> Plan:
        """How this setting would be loaded; raises `ModelUnavailable` where something else must give way to it."""
        if file not in self._architectures:
            header = read_header(file, self._tail)
            self._architectures[file] = read_architecture(header.pairs, header.tensors, header.vocabulary)
        plan = self._fit(self._as_settings(setting), _as_choice(setting), file)
        for name in ("context", "gpu_layers"):
            now, usual = getattr(plan, name), getattr(self._default, name)
            if now < usual:
                raise ModelUnavailable(f"{name} {now:,} instead of {usual:,}")
        if plan.parallel < setting.parallel:
            raise ModelUnavailable("not enough memory")
        return plan

    def _fit(self, settings: ModelSettings, choice: Choice | None, file: Path) -> Plan:
        return fit(self._architectures[file], self._devices, settings, choice, usable_cores())

    def _as_settings(self, setting: Setting) -> ModelSettings:
        measured = {"threads": setting.threads, "parallel": setting.parallel, "kv_cache": _kv_cache(setting)}
        return self._settings.model_copy(update=measured)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note what other processes use meanwhile."""
        cores = own_cores()
        before = take_sample(cores, time.monotonic())
        yield
        after = take_sample(cores, time.monotonic())
        self._looks.append((after.at - before.at, others_between(before, after)))


def _work(model: LocalModel, requests: Mapping[int, Request], on_job: OnJob) -> tuple[dict[int, Generation], int]:
    """What became of the requests, without those that failed, and the steps in which an answer grew."""
    done, steps = dict[int, Generation](), 0
    for number, request in requests.items():
        try:
            model.add(number, request)
        except AgentdError:
            continue
    while model.busy:
        for news in model.step():
            steps += bool(news.text)
            if news.done:
                done[news.number] = news.done
                on_job()
    return done, steps


def _as_choice(setting: Setting) -> Choice:
    k, v = setting.kv_cache
    return Choice(setting.threads, setting.batch, setting.parallel, k, v, "", 0.0, 0.0, "")


def _kv_cache(setting: Setting) -> KvCache:
    return KvCache.model_validate(dict(zip("kv", setting.kv_cache, strict=True)))


def _batched(sequences: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(sequences), size):
        yield sequences[start : start + size]
