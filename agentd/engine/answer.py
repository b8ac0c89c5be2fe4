"""The program of one request: prompt, thought, choices by score, then the answer under its constraint.

It says what to evaluate and reads the logits; in which batch, beside whom and when, it does not know.
"""

import codecs
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from agentd.engine import score
from agentd.engine.constraint import Constraint
from agentd.engine.step import Feed, Fork, Logits, Program, Prompt

THOUGHT_TOKENS = 512  # a thought that cannot be switched off is cut here
REPEAT_RUN = 6  # tokens: longer than any word or figure that a text rightly repeats
END_OF_THOUGHT = "</think>"


class Vocabulary(Protocol):
    """Tokens and their bytes."""

    end_tokens: frozenset[int]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token."""


class Compile(Protocol):
    """Makes the constraint of a schema."""

    def __call__(self, schema: dict[str, Any], /) -> Constraint:
        """The constraint at its beginning; raises `BadSchema`."""


@dataclass(slots=True)
class Choices:
    """What is to be chosen by score, and what an empty input scores; the latter is shared by many requests."""

    decisions: list[score.Decision]
    empty_prompt: tuple[int, ...]
    baselines: dict[tuple[Any, ...], list[float]]
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)


class Answer:
    """One answer, token by token. `program` says what to evaluate; `text`, `stop` and `count` grow meanwhile.

    Under a schema, a small model that has nothing more to say repeats itself until the bound: so a run of
    `REPEAT_RUN` tokens is not said twice within one property. Free text is left alone.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: list[int],
        max_tokens: int,
        *,
        schema: dict[str, Any] | None,
        compile_: Compile,
        thinking: bool = False,
        choices: Choices | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._schema = schema
        self._compile = compile_
        self._thinking = thinking
        self._choices = choices
        # Compiled at once where nothing of it can change, so that a bad schema is refused before any work.
        self._constraint = compile_(schema) if schema is not None else None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._untold = ""
        self.text = ""
        self.stop = "end"
        self.count = 0
        self._said: list[int] = []  # of the property that is being written
        self._followers: dict[tuple[int, ...], list[int]] = {}

    @property
    def probabilities(self) -> dict[str, dict[str, float]]:
        """By property that was chosen by score, the probability of each choice."""
        return self._choices.probabilities if self._choices else {}

    @property
    def fork_tokens(self) -> int:
        """The most tokens that scoring one decision takes beside the prompt."""
        if not self._choices:
            return 0
        forks = [self._fork(decision) for decision in self._choices.decisions]
        thought = THOUGHT_TOKENS if self._thinking else 0
        before = max(len(self._choices.empty_prompt) - len(self._prompt), thought)
        return before + max(len(fork.stem) + sum(map(len, fork.branches)) for fork in forks)

    def take_text(self) -> str:
        """What was said since the last call."""
        text, self._untold = self._untold, ""
        return text

    def program(self) -> Program:
        """Evaluate the prompt and write the answer."""
        logits: Any = None
        if self._thinking or self._choices:
            baselines = (yield from self._measure_empty(self._choices)) if self._choices else []
            logits = yield Prompt(self._prompt)
            if self._thinking:
                logits = yield from self._think(logits)
            if self._choices and self._schema:
                yield from self._decide(self._choices, self._schema, baselines)
            opening = self._open()
            if opening and not self._over:
                logits = yield Feed(opening)
        else:
            # What the schema forces at the beginning rides along with the prompt.
            opening = self._open()
            if not self._over:
                logits = yield Prompt(self._prompt + opening)
        yield from self._write(logits)

    @property
    def _over(self) -> bool:
        """Whether nothing more can be said; what would be evaluated now, nobody reads."""
        return self.stop != "end" or bool(self._constraint and self._constraint.complete)

    def _open(self) -> list[int]:
        """Say what the schema forces at the beginning."""
        opening = self._constraint.forced() if self._constraint else []
        self._say(opening)
        return opening

    def _write(self, logits: Any) -> Program:
        while not self._over:
            if self.count >= self._max_tokens:
                self.stop = "length"
                break
            token = self._choose(logits)
            if token in self._vocabulary.end_tokens:
                break
            forced = self._constraint.accept(token) if self._constraint else []
            self._remember(token, forced)
            self._say([token, *forced])
            if self._over:
                break
            logits = yield Feed([token, *forced])
        self._say([], final=True)

    def _think(self, logits: Any) -> Generator[Feed, Any, Any]:
        """Let an open thought run to its end or its bound."""
        closing = self._vocabulary.tokenize(END_OF_THOUGHT + "\n\n", special=True)
        said = b""
        for _ in range(THOUGHT_TOKENS - len(closing)):
            token = int(np.argmax(logits))
            if token in self._vocabulary.end_tokens:
                break
            said += self._vocabulary.piece(token, special=True)
            logits = yield Feed([token])
            if END_OF_THOUGHT.encode() in said:
                return logits
        return (yield Feed(closing))

    def _measure_empty(self, choices: Choices) -> Generator[Prompt | Fork, Any, list[list[float]]]:
        """What every choice scores on the empty input, measured where no earlier request did."""
        found = [choices.baselines.get(self._baseline_key(choices, one)) for one in choices.decisions]
        if None in found:
            yield Prompt(choices.empty_prompt)
        baselines = []
        for decision, known in zip(choices.decisions, found, strict=True):
            measured: list[float] = known or (yield self._fork(decision))
            choices.baselines[self._baseline_key(choices, decision)] = measured
            baselines.append(measured)
        return baselines

    def _decide(
        self, choices: Choices, schema: dict[str, Any], baselines: list[list[float]]
    ) -> Generator[Fork, Any, None]:
        """Score every choice on this input, and settle the schema."""
        for decision, baseline in zip(choices.decisions, baselines, strict=True):
            scores = yield self._fork(decision)
            weights = score.probabilities(scores, baseline)
            best = decision.choices[int(np.argmax(weights))]
            choices.probabilities[decision.name] = {
                str(choice): round(weight, 6) for choice, weight in zip(decision.choices, weights, strict=True)
            }
            schema = score.decided(schema, decision.name, best)
        self._constraint = self._compile(schema)

    def _fork(self, decision: score.Decision) -> Fork:
        tokens = self._vocabulary.tokenize
        return Fork(tokens(decision.stem, special=False), [tokens(end, special=False) for end in decision.endings])

    @staticmethod
    def _baseline_key(choices: Choices, decision: score.Decision) -> tuple[Any, ...]:
        return choices.empty_prompt, decision.stem, decision.endings

    def _choose(self, logits: Logits) -> int:
        if self._constraint is None:
            return int(np.argmax(logits))
        repeated = self._followers.get(tuple(self._said[1 - REPEAT_RUN :]), [])
        return self._constraint.pick(logits, avoid=repeated)

    def _remember(self, token: int, forced: list[int]) -> None:
        if b'":' in b"".join(self._vocabulary.piece(token) for token in forced):
            self._said, self._followers = [], {}  # a new property begins
            return
        for said in (token, *forced):
            self._followers.setdefault(tuple(self._said[1 - REPEAT_RUN :]), []).append(said)
            self._said.append(said)

    def _say(self, tokens: list[int], *, final: bool = False) -> None:
        spoken = [token for token in tokens if token not in self._vocabulary.end_tokens]
        kept = spoken[: self._max_tokens - self.count]
        if len(kept) < len(spoken):
            self.stop = "length"  # forced tokens ran past the bound
        self.count += len(kept)
        raw = b"".join(self._vocabulary.piece(token) for token in kept)
        text = self._decoder.decode(raw, final=final)
        self.text += text
        self._untold += text
