"""A full batch against llama.cpp's own answers, one at a time: sharing steps must not change what is said.

Our tokens are fed to llama.cpp's own class one by one, and at each position its most likely token is compared with
ours. Where all are equal, its own greedy answer is the same, token for token. With q8_0 that is so for as long as
the cells of a sequence stand in the order of its tokens. A request that ends leaves a hole, which those that go on
fill: attention then sums in another order, and a near tie may fall otherwise, as it may with f16 in any batch.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from agentd.engine.answer import Answer
from agentd.engine.local import LocalModel
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from agentd.model import Request
from tests.engine.conftest import ask

import llama_cpp  # isort: skip - after the engine, which quietens it

pytestmark = pytest.mark.usefixtures("whole_steps")
TOKENS = 16  # that each answer may have
NEAR = 0.25  # log-probabilities of the two best tokens: nearer, rounding may swap them
LONG = " ".join(f"In year {year} the river rose by {year % 7 + 1} feet." for year in range(1900, 1997))
GARDENER = "You answer questions of a gardener in one short sentence, and you never speak of anything else. "
TOPICS = [
    "rain",
    "dogs",
    "Paris",
    "bread",
    "SQL",
    "the Moon",
    "chess",
    "tea",
    "Rome",
    "snow",
    "ink",
    "foxes",
    "pi",
]
PROMPTS = [
    ask("When do I prune a pear?", GARDENER * 3, shared=1, max_tokens=TOKENS),
    ask("What do roses need?", GARDENER * 3, shared=1, max_tokens=TOKENS),
    ask("Why is my lawn yellow?", GARDENER * 3, shared=1, max_tokens=TOKENS),
    *(ask(f"Tell me a long story about {topic}.", max_tokens=TOKENS) for topic in TOPICS),
    ask("x", "Write a long essay.", max_tokens=TOKENS),
    ask("Schreibe ein langes Gedicht über Bäume. 🌱", max_tokens=TOKENS),
    ask("def fibonacci(n):", "You complete Python code.", max_tokens=TOKENS),
    ask(LONG + " Tell all of it again.", max_tokens=TOKENS),
]


@dataclass(frozen=True)
class Position:
    """One token of ours beside llama.cpp's own choice there."""

    ours: int
    best: int
    gap: float  # between the log-probabilities of its two best


def answers(kv_type: str, requests: list[Request]) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of each request, in tokens, from one batch of all of them."""
    settings = ModelSettings(
        context=2048, parallel=len(requests), threads=1, kv_cache={"k": kv_type, "v": kv_type}
    )
    model = LocalModel(settings)
    written = list[Answer]()
    for number, request in enumerate(requests):
        model.add(number, request)
        written.append(model._batch._waiting[number].answer)
    most = 0
    while model.busy:
        for news in model.step():
            assert not news.error
        most = max(most, model.load().running)
    assert most == len(requests)
    ended = sorted(model._model.end_tokens)[:1]
    return [(answer._prompt, answer._said + (ended if answer.stop == "end" else [])) for answer in written]


def reference(kv_type: int) -> llama_cpp.Llama:
    """llama.cpp's own class over the same file and KV cache."""
    return llama_cpp.Llama(
        str(find_weights(ModelSettings())),
        n_ctx=2048,
        n_threads=1,
        n_threads_batch=1,
        type_k=kv_type,
        type_v=kv_type,
        flash_attn=True,
        verbose=False,
    )


def positions(llama: llama_cpp.Llama, prompt: list[int], said: list[int]) -> Iterator[Position]:
    """Feed a prompt and then what we said, one token after the other."""
    llama.reset()
    llama.eval(prompt)
    for token in said:
        raw = llama_cpp.llama_get_logits_ith(llama._ctx.ctx, -1)
        logits = np.ctypeslib.as_array(ctypes.cast(raw, ctypes.POINTER(ctypes.c_float)), (llama.n_vocab(),))
        second, first = np.partition(logits, -2)[-2:]
        yield Position(token, int(np.argmax(logits)), float(first - second))
        llama.eval([token])


def compare(kv_type: str, type_number: int, requests: list[Request]) -> list[Position]:
    """Every position of all answers."""
    llama = reference(type_number)
    try:
        ends = {
            token for token in range(llama.n_vocab()) if llama_cpp.llama_vocab_is_eog(llama._model.vocab, token)
        }
        return [
            # Any end of an answer is as good as another.
            Position(min(ends), min(ends), one.gap) if {one.ours, one.best} <= ends else one
            for prompt, said in answers(kv_type, requests)
            for one in positions(llama, prompt, said)
        ]
    finally:
        llama.close()


def test_a_full_batch_says_what_llama_cpp_says_by_itself() -> None:
    compared = compare("q8_0", llama_cpp.GGML_TYPE_Q8_0, PROMPTS)
    flips = [one for one in compared if one.ours != one.best]
    print(f"q8_0: {len(flips)} of {len(compared)} positions differ: {flips}")
    assert len(compared) > len(PROMPTS) * TOKENS / 2
    assert not flips


@pytest.mark.parametrize(
    ("kv_type", "number"), [("f16", llama_cpp.GGML_TYPE_F16), ("q8_0", llama_cpp.GGML_TYPE_Q8_0)]
)
def test_with_f16_or_with_holes_in_the_cache_only_near_ties_fall_otherwise(kv_type: str, number: int) -> None:
    leaving = [replace(request, max_tokens=TOKENS - index % 4 * 4) for index, request in enumerate(PROMPTS[:14])]
    compared = compare(kv_type, number, leaving)
    flips = [one for one in compared if one.ours != one.best]
    print(f"{kv_type} with holes: {len(flips)} of {len(compared)} positions differ: {flips}")
    assert len(flips) <= 0.05 * len(compared)
    assert all(one.gap <= NEAR for one in flips)
