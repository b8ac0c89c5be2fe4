"""A GGUF model as the child runs it: prompt, constraint and token loop over `llama.Llama`.

`generate` is a generator that rests after every step, so that its owner can look for a cancel in between and
can end it at any point. It knows nothing of sockets or of other requests.
"""

import codecs
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from agentd.engine.chat import ChatTemplate, Prompt
from agentd.engine.constraint import Constraint, compile_schema
from agentd.engine.llama import BATCH, Llama
from agentd.engine.settings import ModelSettings
from agentd.engine.step import Step
from agentd.engine.weights import checksum, find_weights
from agentd.errors import EngineTimeout, TooLong
from agentd.model import Generation, ModelInfo, Rendered, Request

STEP_SECONDS = 0.25  # a step of prefill aims at this, so that a cancel never waits long
MIN_CHUNK = 16
THOUGHT_TOKENS = 512  # a thought that cannot be switched off is cut here
REPEAT_RUN = 6  # tokens: longer than any word or figure that a text rightly repeats
END_OF_THOUGHT = "</think>"


class LocalModel:
    """A model in this process. Raises `ModelUnavailable` where it cannot be loaded."""

    def __init__(self, settings: ModelSettings) -> None:
        path = find_weights(settings)
        weights = checksum(settings, path)
        self._llama = Llama(path, settings)
        self._template = ChatTemplate(self._llama.chat_template, self._llama.bos_text, self._llama.eos_text)
        self._tokenizer = self._llama.constraint_tokenizer()
        self._chunk = 128  # tokens a step of prefill; follows the measured speed
        self.info = ModelInfo(
            path=str(path),
            description=self._llama.description,
            sha256=weights.sha256,
            context=self._llama.context,
            kv_cache=str(settings.kv_cache),
            gpu_layers=self._llama.log.offloaded(),
            layers=self._llama.layers,
            gpu_in_build=self._llama.gpu_in_build,
        )

    def render(self, request: Request) -> Rendered:
        """The exact prompt of a request and its length."""
        prompt = self._template.render(request.messages)
        return Rendered(prompt.text, len(self._tokens(prompt)))

    def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where this schema cannot be compiled for this model."""
        Constraint(self._tokenizer, compile_schema(schema))

    def generate(self, request: Request) -> Iterator[Step]:
        """Answer a request step by step; raises `TooLong`, `BadSchema` or `EngineTimeout`."""
        started = time.monotonic()
        prompt = self._template.render(request.messages)
        tokens = self._tokens(prompt)
        aloud = THOUGHT_TOKENS if prompt.thinking else 0
        room = self._llama.context - request.max_tokens - aloud
        if len(tokens) > room:
            raise TooLong(f"needs {len(tokens):,} tokens, room for {max(room, 0):,}")
        constraint = (
            Constraint(self._tokenizer, compile_schema(request.schema)) if request.schema is not None else None
        )
        deadline = started + request.seconds
        cached = self._llama.rewind(tokens)
        for _ in self._prefill(tokens[cached:-1], deadline):
            yield Step()
        pending = list(tokens[-1:])
        if prompt.thinking:
            for thought in self._think(tokens[-1:], deadline):
                pending = thought
                yield Step()
        answer = _Answer(self._llama, constraint, request.max_tokens)
        for text in answer.run(pending, deadline):
            yield Step(text)
        yield Step(
            generation=Generation(
                text=answer.text,
                stop=answer.stop,
                tokens_in=len(tokens),
                tokens_cached=cached,
                tokens_out=answer.count,
                seconds=time.monotonic() - started,
            )
        )

    def _tokens(self, prompt: Prompt) -> list[int]:
        tokens: list[int] = []
        for piece in prompt.pieces:
            tokens += self._llama.tokenize(piece.text, special=piece.control)
        bos = self._llama.bos
        # Most templates write it; one that does not leaves it to whoever runs the model.
        return tokens if bos is None or tokens[:1] == [bos] else [bos, *tokens]

    def _prefill(self, tokens: Sequence[int], deadline: float) -> Iterator[None]:
        position = 0
        while position < len(tokens):
            chunk = tokens[position : position + self._chunk]
            before = time.monotonic()
            self._llama.feed(chunk)
            taken = max(time.monotonic() - before, 1e-6)
            # A short last chunk says little about the speed of a full one.
            if len(chunk) == self._chunk:
                self._chunk = int(min(max(len(chunk) * STEP_SECONDS / taken, MIN_CHUNK), BATCH))
            position += len(chunk)
            _check_time(deadline)
            yield

    def _think(self, pending: list[int], deadline: float) -> Iterator[list[int]]:
        """Let an open thought run to its end or its bound; the last list is what to feed next."""
        closing = self._llama.tokenize(END_OF_THOUGHT + "\n\n", special=True)
        said = b""
        for _ in range(THOUGHT_TOKENS - len(closing)):
            token = int(np.argmax(self._llama.feed(pending)))
            _check_time(deadline)
            pending = [token]
            if token in self._llama.end_tokens:
                break
            said += self._llama.piece(token, special=True)
            if END_OF_THOUGHT.encode() in said:
                yield pending
                return
            yield pending
        yield closing


class _Answer:
    """The answer of one request, token by token; forced tokens join the next batch.

    Under a schema, a small model that has nothing more to say repeats itself until the bound: so a run of
    `REPEAT_RUN` tokens is not said twice within one property. Free text is left alone.
    """

    def __init__(self, llama: Llama, constraint: Constraint | None, max_tokens: int) -> None:
        self._llama = llama
        self._constraint = constraint
        self._max_tokens = max_tokens
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text = ""
        self.stop = "end"
        self.count = 0
        self._said: list[int] = []  # of the property that is being written
        self._followers: dict[tuple[int, ...], list[int]] = {}

    def run(self, pending: list[int], deadline: float) -> Iterator[str]:
        """Feed `pending` and what follows it until the answer ends; yields the text as it grows."""
        forced = self._constraint.forced() if self._constraint else []
        yield self._say(forced)
        pending = pending + forced
        while self.stop == "end" and not (self._constraint and self._constraint.complete):
            if self.count >= self._max_tokens:
                self.stop = "length"
                break
            token = self._choose(pending)
            _check_time(deadline)
            if token in self._llama.end_tokens:
                break
            forced = self._constraint.accept(token) if self._constraint else []
            self._remember(token, forced)
            pending = [token, *forced]
            yield self._say(pending)
        yield self._say([], final=True)

    def _choose(self, pending: list[int]) -> int:
        while len(pending) > BATCH:
            self._llama.feed(pending[:BATCH])
            pending = pending[BATCH:]
        logits = self._llama.feed(pending)
        if self._constraint is None:
            return int(np.argmax(logits))
        repeated = self._followers.get(tuple(self._said[1 - REPEAT_RUN :]), [])
        return self._constraint.pick(logits, avoid=repeated)

    def _remember(self, token: int, forced: list[int]) -> None:
        if b'":' in b"".join(self._llama.piece(token) for token in forced):
            self._said, self._followers = [], {}  # a new property begins
            return
        for said in (token, *forced):
            self._followers.setdefault(tuple(self._said[1 - REPEAT_RUN :]), []).append(said)
            self._said.append(said)

    def _say(self, tokens: list[int], *, final: bool = False) -> str:
        spoken = [token for token in tokens if token not in self._llama.end_tokens]
        kept = spoken[: self._max_tokens - self.count]
        if len(kept) < len(spoken):
            self.stop = "length"  # forced tokens ran past the bound
        self.count += len(kept)
        raw = b"".join(self._llama.piece(token) for token in kept)
        text = self._decoder.decode(raw, final=final)
        self.text += text
        return text


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise EngineTimeout("the model did not finish within the time bound of this request")
