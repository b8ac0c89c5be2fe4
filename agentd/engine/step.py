"""What passes between a request's program, the batch and the process: feeds go in, logits and news come out.

A program is a generator: it yields what it wants evaluated and is sent what came of it. So the story of an
answer reads from top to bottom, while the batch is free to split feeds over steps and to mix many of them.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentd.errors import AgentdError
from agentd.model import Embeddings, Generation

Logits = NDArray[np.float32]  # shape (vocab,) after one token, (n, vocab) after n; the program may write to it


@dataclass(frozen=True, slots=True)
class Prompt:
    """Let the request's sequence hold exactly these tokens. Answered with the logits after the last."""

    tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Feed:
    """Append tokens to the request's sequence. Answered with the logits after the last."""

    tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Fork:
    """Try several continuations, none of which stays: a stem that all have, then each branch's own tokens.

    Answered with the log-probability of every branch as a whole after the stem: a list of floats.
    """

    stem: Sequence[int]
    branches: Sequence[Sequence[int]]


# The last value is ignored by the batch: what an answer came to, its owner asks the answer.
Program = Generator[Prompt | Feed | Fork, Logits | list[float], None]


@dataclass(frozen=True, slots=True)
class News:
    """What became of one request in a step."""

    number: int
    started: bool = False
    text: str = ""
    done: Generation | None = None
    vectors: Embeddings | None = None  # what is done, where the request was for them
    error: AgentdError | None = None
