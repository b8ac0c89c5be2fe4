"""How well a model, as it runs here, predicts a text: what a smaller KV cache or converted weights cost.

Only a comparison means something: the same tokens, another setting.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentd.engine.llama.context import LlamaContext, Segment

CHUNK = 512  # tokens that are read together; the second half of them is scored
_ROWS = 128  # logits at a time: as many floats as the vocabulary has tokens each


def perplexity(context: LlamaContext, tokens: Sequence[int], bos: int | None = None) -> float:
    """The perplexity of `tokens` in chunks of `CHUNK`, what does not fill one being left out; 1 is perfect.

    Empties the context, which needs `CHUNK` cells. `bos` replaces the first token of every chunk, for models that
    were trained to begin with it. Raises `ValueError` for less than a chunk.
    """
    chunks = [tokens[start : start + CHUNK] for start in range(0, len(tokens) - CHUNK + 1, CHUNK)]
    if not chunks:
        raise ValueError(f"{len(tokens)} tokens are less than a chunk of {CHUNK}")
    surprise = sum(_surprise(context, chunk if bos is None else [bos, *chunk[1:]]) for chunk in chunks)
    context.clear()
    # The last token of a chunk has no successor to predict.
    return math.exp(surprise / (len(chunks) * (CHUNK - CHUNK // 2 - 1)))


def _surprise(context: LlamaContext, chunk: Sequence[int]) -> float:
    """The negative log-likelihood of a chunk's second half, in nats, over all its tokens."""
    context.clear()
    total = 0.0
    step = min(context.shape.batch, _ROWS)
    for start in range(0, CHUNK - 1, step):
        part = chunk[start : min(start + step, CHUNK - 1)]
        scored = max(min(len(part), start + len(part) - CHUNK // 2), 0)
        logits = context.decode([Segment(0, start, part, outputs=scored)])
        if scored:
            end = start + len(part)
            following = np.asarray(chunk[end - scored + 1 : end + 1])
            total -= float(_log_probabilities(logits, following).sum())
    return total


def _log_probabilities(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row's token, shape (rows,)."""
    top = logits.max(axis=1, keepdims=True)
    rest = np.log(np.exp(logits - top).sum(axis=1, dtype=np.float64))
    chosen: NDArray[np.float64] = logits[np.arange(len(tokens)), tokens] - top[:, 0] - rest
    return chosen
