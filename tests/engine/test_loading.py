"""Loading where memory is short: in a process of its own, which may map only so much more once it has begun."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process maps")

MIB = 1024**2
BOUND = """
import json, resource, sys

from agentd.engine import loading
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import find_weights
from agentd.errors import ModelUnavailable


def bound(size):
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + size, mapped + size))

"""
# Nobody tells the plan of the bound: it is made for the memory that the machine has, and llama.cpp is refused.
LOAD = """
bound(int(sys.argv[1]))
try:
    loaded = loading.load(ModelSettings(context=1024, parallel=100, threads=1), None, None)
except ModelUnavailable as refused:
    print(json.dumps({"refused": str(refused)}))
else:
    logits = loaded.context.decode([Segment(0, 0, [1, 2, 3], 1)])
    info = loaded.info
    told = {"cells": info.cells, "parallel": info.parallel, "notes": info.notes, "rows": len(logits)}
    print(json.dumps(told | {"kv_cache": sum(memory.kv_cache for memory in info.memory)}))
"""
OPEN = """
tail = LogTail()
model = LlamaModel(find_weights(ModelSettings()), tail)
tail.clear()
assert not tail.out_of_memory()
bound(int(sys.argv[1]))
try:
    LlamaContext(model, Shape(int(sys.argv[2]), int(sys.argv[3]), 16, KvCache(k="q8_0", v="q8_0"), 1), tail)
except ModelUnavailable as refused:
    print(json.dumps({"refused": str(refused), "out_of_memory": tail.out_of_memory()}))
"""


def run(code: str, *arguments: int) -> tuple[Any, str]:
    """What the process printed, and what it logged."""
    command = [sys.executable, "-c", BOUND + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_plan_that_is_too_large_after_all_gives_way_to_a_smaller_one() -> None:
    told, logged = run(LOAD, 700 * MIB)  # the cache alone would take 1.2 GiB
    assert (told["cells"], told["parallel"], told["rows"]) == (1024, 100, 1)
    assert told["notes"] == ["cells: 1,024 instead of 104,448, since there was not enough memory at load"]
    assert told["kv_cache"] == pytest.approx(12 * MIB, abs=0.1 * MIB)
    assert "cannot open a context of 104,448 tokens" in logged
    assert logged.count("trying with less") == 1


def test_where_the_smallest_plan_is_too_large_the_reason_is_told() -> None:
    told, logged = run(LOAD, 90 * MIB)  # less than the weights take
    assert "cannot load" in told["refused"]
    assert "mmap failed: Cannot allocate memory" in told["refused"]
    assert logged.count("trying with less") == 1, "nothing but cells was left to give up"


@pytest.mark.parametrize(
    ("cells", "sequences", "words", "memory"),
    [
        (1_000_000, 1, "failed to allocate buffer", True),
        (2_000_000_000, 1, "std::bad_alloc", True),  # of the table of its cells already
        (256, 300, "n_seq_max must be <= 256", False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(
    cells: int, sequences: int, words: str, memory: bool
) -> None:
    told, _ = run(OPEN, 2048 * MIB, cells, sequences)
    assert words in told["refused"]
    assert told["out_of_memory"] == memory
