"""llama.cpp's own quantizer: a GGUF file written again with its weights in another type.

It aborts on some damaged files, as loading does, so whoever calls this is a process of its own: see `repack`.
"""

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

from agentd.engine.llama.log import LogTail

import llama_cpp  # isort: skip

from agentd.errors import ModelUnavailable

# The types that llama.cpp rearranges at load for the CPUs it knows.
TYPES = {"q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}

OnTensor = Callable[[int, int], None]  # how many are done, of how many

_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")  # "[ 271/ 272] blk.29.ffn_norm.weight - [ 576, …"
_SIZE = re.compile(r"(model|quant) size\s*=\s*([\d.]+) MiB")


def quantized_size(source: Path, kind: str) -> int:
    """Bytes that a copy of `source` in a type of `TYPES` will take; raises `ModelUnavailable`."""
    tail = LogTail()
    _run(source, source, kind, threads=1, tail=tail, dry_run=True)
    sizes = {match[1]: float(match[2]) * 1024**2 for line in tail.lines if (match := _SIZE.search(line))}
    # What the file holds besides weights, its vocabulary above all, is copied as it is.
    return round(source.stat().st_size - sizes["model"] + sizes["quant"])


def quantize(source: Path, target: Path, kind: str, threads: int, on_tensor: OnTensor) -> None:
    """Write a copy of `source` in a type of `TYPES`; raises `ModelUnavailable` where llama.cpp cannot."""
    _run(source, target, kind, threads=threads, tail=_TensorLog(on_tensor), dry_run=False)


class _TensorLog(LogTail):
    """A log that counts the tensors it speaks of."""

    def __init__(self, on_tensor: OnTensor) -> None:
        self._on_tensor = on_tensor
        super().__init__()

    def _write(self, level: int, text: bytes | None, user_data: object) -> None:
        super()._write(level, text, user_data)
        if found := _TENSOR.match((text or b"").decode("utf-8", "replace")):
            self._on_tensor(int(found[1]), int(found[2]))


def _run(source: Path, target: Path, kind: str, *, threads: int, tail: LogTail, dry_run: bool) -> None:
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = TYPES[kind]
    params.nthread = threads
    params.allow_requantize = True  # most files that users have are quantized
    params.dry_run = dry_run
    status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if status != 0:
        raise ModelUnavailable(f"llama.cpp cannot convert {source} to {kind}: {tail.error() or 'no reason given'}")
