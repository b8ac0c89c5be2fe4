"""One context of a loaded model: sequences in one KV cache, evaluated together.

A sequence is a number; what stands in it, its owner knows. Nothing here decides who is evaluated when. The
functions of llama_cpp are ctypes: a wrong argument is a crash, not an exception, so every call is checked here.
"""

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.llama.tokens import Segment as Segment
from agentd.engine.llama.tokens import TokenBatch

import llama_cpp  # isort: skip
import numpy as np
from numpy.typing import NDArray

from agentd.engine.settings import KvCache
from agentd.errors import EngineError, ModelUnavailable

KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "bf16": 30,  # GGML_TYPE_BF16, which llama-cpp-python has no name for
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
    "iq4_nl": llama_cpp.GGML_TYPE_IQ4_NL,
}
# From so many tokens on, llama.cpp's CPU attention works on tiles of them (GGML_FA_TILE_Q, for caches whose values
# are floats), where one that is not full costs as much as a full one.
TILE = 64
TILED = {"f32", "f16"}
_BROKEN_OFF = 2  # what llama_decode answers then
MOST_SEQUENCES = llama_cpp.llama_max_parallel_sequences()


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a context is."""

    cells: int  # tokens that the KV cache holds, over all sequences
    sequences: int  # numbers 0 to sequences - 1 may be used
    batch: int  # tokens that one `decode` may take
    kv_cache: KvCache
    threads: int
    outputs: int = 0  # rows of logits that one `decode` may give, which take memory; 0 for one a token


class BrokenOff(Exception):
    """An evaluation that was ended early, because somebody came who should not wait for it."""


class LlamaContext:
    """A KV cache and the compute buffers for it. Not safe for threads. Raises `ModelUnavailable`."""

    def __init__(self, model: LlamaModel, shape: Shape, tail: LogTail) -> None:
        self.shape = shape
        self.seconds = 0.0  # spent inside llama_decode so far
        self.threads = shape.threads
        self.most_outputs = shape.outputs or shape.batch
        # A GPU does not ask whether to go on, and half a step cannot be taken back out of a state.
        self.breakable = not model.on_gpu and not model.keeps_one_state
        self._stop: Callable[[], bool] | None = None
        self._on_node = llama_cpp.ggml_abort_callback()
        # llama.cpp's CPU attention looks at the mask of each cell in use, for each token and head.
        self.reads_all = not model.on_gpu
        self.tile = _tile(model, shape)  # tokens that attention works on at a time; 0 where it goes one by one
        self._vocab_size = model.vocab_size
        self._handle = self._open(model, shape, tail)
        self._memory = llama_cpp.llama_get_memory(self._handle)
        if not self._memory:  # an encoder: it sees a whole text at once, and writes none
            self.close()
            raise ModelUnavailable(
                "this model makes embeddings and writes no text: say `use: embeddings`", hint="agentd config path"
            )
        self.cells = int(llama_cpp.llama_n_ctx(self._handle))  # rounded up from what was asked
        self._batch = TokenBatch(shape.batch, shape.sequences)

    def close(self) -> None:
        """Free the cache and the buffers; the context cannot be used any more."""
        llama_cpp.llama_free(self._handle)

    def break_off_when(self, stop: Callable[[], bool] | None) -> None:
        """Let every following `decode` be broken off once `stop` says so; it is asked a thousand times in each.

        Only where the context is `breakable`.
        """
        if stop is self._stop:
            return
        self._stop = stop
        # The callback must live as long as llama.cpp may call it; without an argument it is none.
        self._on_node = llama_cpp.ggml_abort_callback(*([lambda _data: stop()] if stop else []))
        llama_cpp.llama_set_abort_callback(self._handle, self._on_node, None)

    def decode(self, segments: Sequence[Segment]) -> NDArray[np.float32]:
        """Append every segment; return the wanted logits in the order of the segments, shape (wanted, vocab).

        Not a copy: the next call overwrites it. Raises `BrokenOff`, and then everything is as it was before,
        `EngineError` where llama.cpp cannot, and `ValueError` for segments that do not fit.
        """
        wanted = self._batch.fill(segments)
        if wanted > self.most_outputs:
            raise ValueError(f"{wanted} outputs of {self.most_outputs}")
        before = time.perf_counter()
        try:
            status = llama_cpp.llama_decode(self._handle, self._batch.struct)
            if status == _BROKEN_OFF:
                raise BrokenOff
            if status != 0:
                raise EngineError(f"llama_decode answered {status}")
            if not wanted:
                llama_cpp.llama_synchronize(self._handle)
                return np.empty((0, self._vocab_size), np.float32)
            logits = llama_cpp.llama_get_logits(self._handle)
        finally:
            self.seconds += time.perf_counter() - before
        return np.ctypeslib.as_array(logits, shape=(wanted, self._vocab_size))

    def copy(self, source: int, target: int) -> None:
        """Let `target`, which must be empty, share all that `source` holds."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, sequence: int) -> None:
        """Empty a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def clear(self) -> None:
        """Empty every sequence."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def save(self, sequence: int) -> bytes:
        """What a sequence holds, for `restore` in a context of the same model, build and KV types."""
        size = llama_cpp.llama_state_seq_get_size(self._handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = llama_cpp.llama_state_seq_get_data(self._handle, buffer, size, sequence)
        return bytes(memoryview(buffer)[:written])

    def restore(self, sequence: int, state: bytes) -> bool:
        """Put a saved state into an empty sequence; False where llama.cpp refuses it.

        Whoever calls has verified the bytes: llama.cpp aborts on some that are damaged and believes others.
        """
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        read = llama_cpp.llama_state_seq_set_data(self._handle, buffer, len(state), sequence)
        return bool(read == len(state))

    def set_threads(self, threads: int) -> None:
        """Compute with so many threads from the next `decode` on."""
        llama_cpp.llama_set_n_threads(self._handle, threads, threads)
        self.threads = threads

    def _open(self, model: LlamaModel, shape: Shape, tail: LogTail) -> llama_cpp.llama_context_p:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = shape.cells
        params.n_batch = params.n_ubatch = shape.batch
        params.n_seq_max = shape.sequences
        # llama.cpp aborts where there are fewer than sequences.
        params.n_outputs_max = max(self.most_outputs, shape.sequences)
        params.n_threads = params.n_threads_batch = shape.threads
        params.type_k = KV_TYPES[shape.kv_cache.k]
        params.type_v = KV_TYPES[shape.kv_cache.v]
        # A quantized V cache exists only with flash attention.
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        # A prefix can be shared only within one cache: a partial copy between split ones aborts.
        params.kv_unified = True
        params.no_perf = True
        tail.clear()
        handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelUnavailable(
                f"llama.cpp cannot open a context of {shape.cells:,} tokens with kv_cache {shape.kv_cache}: "
                f"{tail.error() or 'no reason given'} (types it takes: {', '.join(KV_TYPES)})",
                hint="agentd config path",
            )
        return handle


def _tile(model: LlamaModel, shape: Shape) -> int:
    kinds = {shape.kv_cache.k, shape.kv_cache.v}
    tiled = len(kinds) == 1 and kinds <= TILED and not model.on_gpu
    # Whole tiles must not come to more than the batch holds.
    return TILE if tiled and shape.batch % TILE == 0 else 0
