"""Questions to llama.cpp itself, in a process of their own: what it can reach here, and at what quality.

One line of JSON on stdin is answered by one on stdout: {ask: NAME, …}, see `ANSWERS`. No queue, no scheduling and
no constraint stand between a question and `llama_decode`.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agentd.engine.constraint import Compiler
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.llama.quantize import quantize
from agentd.engine.perplexity import CHUNK, perplexity
from agentd.engine.settings import KvCache

PREFIX = 300  # tokens that stand in the cache before anything is timed
PROMPTS = tuple((tokens, sequences) for tokens in (64, 128, 256, 512) for sequences in (1, 8))
WRITERS = (1, 4, 8, 16, 32)  # sequences that get a token each
STEPS = 12
REPEATS = 3
CELLS = 4096
BLOCKS = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}  # values of a block, and the bytes that it takes


def rates(asked: dict[str, Any]) -> dict[str, Any]:
    """Tokens a second of prompts and of decoding, after a shared prefix, by the shape of the batch."""
    model, context = _open(asked, sequences=max(WRITERS) + 1)
    tokens = _tokens(model, PREFIX + 512)
    prefix, text = tokens[:PREFIX], tokens[PREFIX:]
    context.decode([Segment(0, 0, prefix, 0)])
    prompt = []
    for count, sequences in PROMPTS:
        share = count // sequences
        batch = [Segment(number + 1, PREFIX, text[:share], 1) for number in range(sequences)]
        times = [_timed(context, sequences, batch, 1) for _ in range(REPEATS + 1)]
        prompt.append({"tokens": count, "sequences": sequences, "rate": count / statistics.median(times[1:])})
    decode = []
    for sequences in WRITERS:
        batch = [Segment(number + 1, PREFIX, text[:1], 1) for number in range(sequences)]
        times = [_timed(context, sequences, batch, STEPS) for _ in range(REPEATS + 1)]
        decode.append({"sequences": sequences, "rate": sequences / statistics.median(times[1:])})
    return {"prompt": prompt, "decode": decode}


def _timed(context: LlamaContext, sequences: int, batch: Sequence[Segment], steps: int) -> float:
    """Seconds of one step, the median of `steps` in a row, each from where the last one left the cache."""
    for sequence in range(1, sequences + 1):
        context.drop(sequence)
        context.copy(0, sequence)
    times = []
    for step in range(steps):
        moved = [
            Segment(one.sequence, one.start + step * len(one.tokens), one.tokens, one.outputs) for one in batch
        ]
        began = time.perf_counter()
        context.decode(moved)
        times.append(time.perf_counter() - began)
    for sequence in range(1, sequences + 1):
        context.drop(sequence)
    return statistics.median(times)


def measure_perplexity(asked: dict[str, Any]) -> dict[str, Any]:
    """How well `chunks` pieces of the text are foretold, with these weights and this cache."""
    model, context = _open(asked, sequences=1)
    tokens = model.tokenize(asked["text"], special=False)[: CHUNK * asked["chunks"]]
    return {"perplexity": perplexity(context, tokens, model.bos), "tokens": len(tokens)}


def count_forced(asked: dict[str, Any]) -> dict[str, Any]:
    """Of each answer, given as [text, schema]: tokens that its schema left no choice, and tokens that it did.

    The answer is written again token by token, longest pieces first, so that a count may differ by a token or two
    from what the model did.
    """
    model = LlamaModel(Path(asked["model"]), LogTail(), gpu_layers=0, vocab_only=True)
    compiler = Compiler(model.constraint_tokenizer())
    counts = [_forced(model, compiler, text, schema) for text, schema in asked["answers"]]
    return {"forced": [forced for forced, _ in counts], "chosen": [chosen for _, chosen in counts]}


def _forced(model: LlamaModel, compiler: Compiler, text: str, schema: dict[str, Any] | None) -> tuple[int, int]:
    if schema is None:
        return 0, len(model.tokenize(text, special=False))
    constraint = compiler(schema)
    rest = text.encode()
    forced = chosen = 0
    following = constraint.forced()
    while True:
        forced += len(following)
        for token in following:
            rest = rest[len(model.piece(token)) :]
        if not rest or constraint.complete:
            return forced, chosen
        token = model.tokenize(rest.decode("utf-8", "ignore"), special=False)[0]
        rest = rest[len(model.piece(token)) :]
        chosen += 1
        following = constraint.accept(token)


def convert(asked: dict[str, Any]) -> dict[str, Any]:
    """A copy of the model in another type, by llama.cpp's own quantizer."""
    quantize(Path(asked["model"]), Path(asked["target"]), asked["type"], asked["threads"], lambda _done, _of: None)
    return {"bytes": Path(asked["target"]).stat().st_size}


def cell_bytes(asked: dict[str, Any]) -> dict[str, Any]:
    """Bytes of one token in the KV cache, from the header alone: layers × KV heads × width × 2 × a value's."""
    header = LlamaModel(Path(asked["model"]), LogTail(), gpu_layers=0, vocab_only=True).metadata
    name = header["general.architecture"]
    heads = int(header[f"{name}.attention.head_count"])
    width = int(header.get(f"{name}.attention.key_length", int(header[f"{name}.embedding_length"]) // heads))
    values = int(header[f"{name}.block_count"]) * int(header[f"{name}.attention.head_count_kv"]) * width * 2
    return {kind: values // block * size for kind, (block, size) in BLOCKS.items()}


def _open(asked: dict[str, Any], sequences: int) -> tuple[LlamaModel, LlamaContext]:
    tail = LogTail()
    model = LlamaModel(Path(asked["model"]), tail, gpu_layers=0)
    kv_cache = KvCache(k=asked["kv"], v=asked.get("v", asked["kv"]))
    return model, LlamaContext(model, Shape(CELLS, sequences, 512, kv_cache, asked["threads"]), tail)


def _tokens(model: LlamaModel, count: int) -> list[int]:
    text = "The pump in the cellar ran for three hours, then the fuse of the left wall went. "
    return model.tokenize(text * (count // 10), special=False)[:count]


ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "rates": rates,
    "perplexity": measure_perplexity,
    "forced": count_forced,
    "convert": convert,
    "cell bytes": cell_bytes,
}


def main() -> None:
    """Answer one question."""
    # What a library prints must not come between the lines of answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    print(json.dumps(ANSWERS[asked["ask"]](asked)), file=answers, flush=True)


if __name__ == "__main__":
    main()
