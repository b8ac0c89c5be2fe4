"""A GGUF model that turns texts into vectors, as the child runs it.

A text longer than the model's window is read in pieces of equal length, and its vector is their mean, by tokens:
nothing is cut off. Each step evaluates pieces of whoever is most urgent, as many as fit, so that one short text
never waits for a thousand others. It knows nothing of sockets, of notes or of who asks.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.engine.llama.embedding import MOST_PIECES
from agentd.engine.loading import load_embedder
from agentd.engine.settings import ModelSettings
from agentd.engine.step import News
from agentd.engine.threads import Threads
from agentd.errors import Cancelled, EngineError, EngineTimeout
from agentd.model import VECTOR_TYPE, Embeddings, Load, ModelInfo
from agentd.records import Priority

LAST_STEPS = 64  # that the speed is told of


class Context(Protocol):
    """What evaluates pieces."""

    window: int
    threads: int
    size: int
    seconds: float

    def embed(self, pieces: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The vector of each piece."""

    def set_threads(self, threads: int) -> None:
        """Compute with so many threads from now on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one of a request's texts."""

    text: int  # its number
    tokens: Sequence[int]
    weight: int  # tokens of the text in it


@dataclass(slots=True)
class Work:
    """A request, and how far it is."""

    number: int
    priority: Priority
    seconds: float
    pieces: list[Piece]
    sums: NDArray[np.float64]  # of each text's pieces so far
    done: int = 0  # pieces
    deadline: float | None = None  # once it has begun
    weights: int = field(init=False)

    def __post_init__(self) -> None:
        self.weights = sum(piece.weight for piece in self.pieces)


class EmbeddingBatch:
    """All requests of one context. Not safe for threads."""

    def __init__(
        self, context: Context, threads: Threads | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._context = context
        self._threads = threads
        self._clock = clock
        self._works: dict[int, Work] = {}
        self._busy_seconds = 0.0
        self._last: deque[tuple[int, float]] = deque(maxlen=LAST_STEPS)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._works)

    def add(self, number: int, pieces: list[Piece], texts: int, priority: Priority, seconds: float) -> None:
        """Let a request wait for its turn."""
        sums = np.zeros((texts, self._context.size))
        self._works[number] = Work(number, priority, seconds, pieces, sums)

    def cancel(self, number: int) -> list[News]:
        """End a request now; nothing where it is not here any more."""
        return [News(number, error=Cancelled())] if self._works.pop(number, None) else []

    def step(self) -> list[News]:
        """Evaluate as many pieces as fit, and tell what became of whom; who begins is told before."""
        began = self._clock()
        if news := self._expire(began) + self._finish():
            return news
        taken = list(self._take())
        if news := self._begin({work.number: work for work, _ in taken}, began):
            return news  # should a text kill this process, it must be known that it was in here
        if not taken:
            return []
        if self._threads and (wanted := self._threads.look(began)) != self._context.threads:
            self._context.set_threads(wanted)
        try:
            vectors = self._context.embed([piece.tokens for _, piece in taken])
        except EngineError as error:
            ended = {work.number for work, _ in taken}
            for number in ended:
                del self._works[number]
            return [News(number, error=error) for number in sorted(ended)]
        for (work, piece), vector in zip(taken, vectors, strict=True):
            work.sums[piece.text] += piece.weight * unit(vector)
            work.done += 1
        seconds = self._clock() - began
        self._busy_seconds += seconds
        self._last.append((sum(len(piece.tokens) for _, piece in taken), seconds))
        return self._finish()

    def load(self) -> Load:
        """What it is doing."""
        running = sum(work.deadline is not None for work in self._works.values())
        seconds = sum(taken for _, taken in self._last)
        return Load(
            running=running,
            waiting=len(self._works) - running,
            threads=self._context.threads,
            tokens_a_second=sum(tokens for tokens, _ in self._last) / seconds if seconds else 0.0,
            step_seconds=max((taken for _, taken in self._last), default=0.0),
            busy_seconds=self._busy_seconds,
            decode_seconds=self._context.seconds,
        )

    def _take(self) -> Iterator[tuple[Work, Piece]]:
        """The next pieces, the most urgent first."""
        room, count = self._context.window, MOST_PIECES
        for work in sorted(self._works.values(), key=lambda work: (work.priority, work.number)):
            for piece in work.pieces[work.done :]:
                room -= len(piece.tokens)
                count -= 1
                if room < 0 or count < 0:
                    return
                yield work, piece

    def _begin(self, works: dict[int, Work], now: float) -> list[News]:
        new = [work for work in works.values() if work.deadline is None]
        for work in new:
            work.deadline = now + work.seconds
        return [News(work.number, started=True) for work in new]

    def _expire(self, now: float) -> list[News]:
        late = [work.number for work in self._works.values() if work.deadline and now > work.deadline]
        for number in late:
            del self._works[number]
        bound = "the texts were not embedded within the time bound of this request"
        return [News(number, error=EngineTimeout(bound)) for number in late]

    def _finish(self) -> list[News]:
        """Hand out what is complete."""
        complete = [work for work in self._works.values() if work.done == len(work.pieces)]
        for work in complete:
            del self._works[work.number]
        return [News(work.number, vectors=_embeddings(work)) for work in complete]


class EmbeddingModel:
    """A model in this process. Raises `ModelUnavailable` where it cannot be loaded."""

    def __init__(self, settings: ModelSettings) -> None:
        loaded = load_embedder(settings)
        self.info: ModelInfo = loaded.info
        self._model, self._context = loaded.model, loaded.context
        self._before, self._after = loaded.model.frame()
        self._batch = EmbeddingBatch(loaded.context, loaded.threads)

    def close(self) -> None:
        """Free the model: nothing can be asked of it any more."""
        self._context.close()
        self._model.close()

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self._batch.busy

    def embed(self, number: int, texts: Sequence[str], priority: Priority, seconds: float) -> None:
        """Take a request in."""
        pieces = [piece for index, text in enumerate(texts) for piece in self._pieces(index, text)]
        self._batch.add(number, pieces, len(texts), priority, seconds)

    def cancel(self, number: int) -> list[News]:
        """End a request at once."""
        return self._batch.cancel(number)

    def step(self) -> list[News]:
        """Evaluate some pieces."""
        return self._batch.step()

    def load(self) -> Load:
        """What the engine is doing."""
        return self._batch.load()

    def _pieces(self, index: int, text: str) -> Iterator[Piece]:
        room = self._context.window - len(self._before) - len(self._after)
        for part in split(self._model.tokenize(text, special=False), room):
            yield Piece(index, [*self._before, *part, *self._after], len(part))


def split(tokens: Sequence[int], room: int) -> Iterator[Sequence[int]]:
    """As few parts of at most `room` tokens as hold them all, of equal length; none for no token."""
    count = -(-len(tokens) // room)
    for index in range(count):
        yield tokens[len(tokens) * index // count : len(tokens) * (index + 1) // count]


def unit(vector: NDArray[np.floating]) -> NDArray[np.float64]:
    """The vector at length 1; all zeros where it has no direction, or numbers that are none."""
    wide = np.asarray(vector, np.float64)
    length = np.linalg.norm(wide)
    return wide / length if np.isfinite(length) and length > 0 else np.zeros_like(wide)


def _embeddings(work: Work) -> Embeddings:
    vectors = [unit(total) for total in work.sums]
    return Embeddings(
        tuple(one.astype(VECTOR_TYPE).tobytes() if one.any() else b"" for one in vectors), work.weights
    )
