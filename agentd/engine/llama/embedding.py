"""One context that turns pieces of text into vectors. Nothing stays in it between two calls.

Which pieces make a text is not known here. The functions of llama_cpp are ctypes: a wrong argument is a crash, not
an exception, so every call is checked here.
"""

import time
from collections.abc import Sequence

from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.llama.tokens import Segment, TokenBatch

import llama_cpp  # isort: skip
import numpy as np
from numpy.typing import NDArray

from agentd.errors import EngineError, ModelUnavailable

MOST_PIECES = 32  # of one call
# How the vectors of a piece's tokens become one, as GGUF files name it by number (llama_pooling_type).
_NO_POOLING = ("", str(llama_cpp.LLAMA_POOLING_TYPE_NONE), str(llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED))
_RANKS = str(llama_cpp.LLAMA_POOLING_TYPE_RANK)


class EmbeddingContext:
    """Compute buffers for one step of embedding. Not safe for threads. Raises `ModelUnavailable`.

    `window` is how many tokens one call may take, in one piece or in several. `pooling` is what the file says
    about it; where it names none, the mean of a piece's tokens is its vector.
    """

    def __init__(self, model: LlamaModel, window: int, threads: int, pooling: str, tail: LogTail) -> None:
        self.window = window
        self.threads = threads
        self.seconds = 0.0  # spent inside llama.cpp so far
        self.size = model.vector_size
        self._handle = self._open(model, pooling, tail)
        self._memory = llama_cpp.llama_get_memory(self._handle)  # of a decoder; an encoder has none
        encodes = model.encodes or not self._memory
        self._evaluate = llama_cpp.llama_encode if encodes else llama_cpp.llama_decode
        self._batch = TokenBatch(window, MOST_PIECES)

    @property
    def caches(self) -> bool:
        """Whether the model looks back at tokens by a cache."""
        return bool(self._memory)

    def close(self) -> None:
        """Free the buffers; the context cannot be used any more."""
        llama_cpp.llama_free(self._handle)

    def embed(self, pieces: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The vector of each piece, shape (pieces, size); raises `EngineError` where llama.cpp cannot.

        `ValueError` for pieces that do not fit.
        """
        self._batch.fill([Segment(index, 0, piece, len(piece)) for index, piece in enumerate(pieces)])
        before = time.perf_counter()
        try:
            status = self._evaluate(self._handle, self._batch.struct)
            if status != 0:
                raise EngineError(f"llama.cpp answered {status} to a text that was to be embedded")
            return np.stack([self._read(index) for index in range(len(pieces))])
        finally:
            if self._memory:
                llama_cpp.llama_memory_clear(self._memory, False)
            self.seconds += time.perf_counter() - before

    def set_threads(self, threads: int) -> None:
        """Compute with so many threads from the next call on."""
        llama_cpp.llama_set_n_threads(self._handle, threads, threads)
        self.threads = threads

    def _read(self, sequence: int) -> NDArray[np.float32]:
        found = llama_cpp.llama_get_embeddings_seq(self._handle, sequence)
        if not found:
            raise EngineError("llama.cpp has no vector for a text")
        return np.ctypeslib.as_array(found, shape=(self.size,)).copy()

    def _open(self, model: LlamaModel, pooling: str, tail: LogTail) -> llama_cpp.llama_context_p:
        if pooling == _RANKS:
            raise ModelUnavailable(
                "this model ranks pairs of texts and makes no embeddings", hint="agentd config path"
            )
        params = llama_cpp.llama_context_default_params()
        params.embeddings = True
        if pooling in _NO_POOLING:
            params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_MEAN
        # A piece is pooled within one step, so a step must have room for all of it.
        params.n_ctx = params.n_batch = params.n_ubatch = self.window
        params.n_seq_max = MOST_PIECES
        params.kv_unified = True  # or each piece would get its share of the window only
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        tail.clear()
        handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelUnavailable(
                f"llama.cpp cannot open a context of {self.window:,} tokens for embeddings: "
                f"{tail.error() or 'no reason given'}",
                hint="agentd config path",
            )
        return handle
