"""Tokens on their way into llama.cpp: the arrays behind one `llama_batch`, filled by slices.

What a segment means, and which context evaluates it, is not known here.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from agentd.engine.llama import log as log  # first: it sets what llama_cpp reads when it is imported

import llama_cpp  # isort: skip
import numpy as np


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens to append to one sequence."""

    sequence: int
    start: int  # the position of the first, which is how many the sequence holds
    tokens: Sequence[int]
    outputs: int  # after how many of the last tokens something is wanted: 0, 1 or all


class TokenBatch:
    """A `llama_batch` of arrays of our own, instead of llama_batch_init's that are filled number by number."""

    def __init__(self, size: int, sequences: int) -> None:
        self._size = size
        self._most = sequences
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._sequences = np.zeros(size, np.int32)
        self._outputs = np.zeros(size, np.int8)
        step = self._sequences.itemsize
        pointer = ctypes.POINTER(ctypes.c_int32)
        self._places = (pointer * size)(
            *(ctypes.cast(self._sequences.ctypes.data + index * step, pointer) for index in range(size))
        )
        self.struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(pointer),
            embd=None,
            pos=self._positions.ctypes.data_as(pointer),
            n_seq_id=self._counts.ctypes.data_as(pointer),
            seq_id=ctypes.cast(self._places, ctypes.POINTER(pointer)),
            logits=self._outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, segments: Sequence[Segment]) -> int:
        """Hold these segments and nothing else; how many outputs they want. Raises `ValueError`."""
        filled, wanted = 0, 0
        for segment in segments:
            count = len(segment.tokens)
            if not 0 <= segment.sequence < self._most or not 0 <= segment.outputs <= count:
                raise ValueError(f"no such segment: {segment.sequence}, {segment.outputs} of {count}")
            end = filled + count
            if end > self._size:
                raise ValueError(f"{end} tokens in a batch of {self._size}")
            self._tokens[filled:end] = segment.tokens
            self._positions[filled:end] = range(segment.start, segment.start + count)
            self._sequences[filled:end] = segment.sequence
            self._outputs[filled:end] = 0
            self._outputs[end - segment.outputs : end] = 1
            filled, wanted = end, wanted + segment.outputs
        if not filled:
            raise ValueError("no tokens in a batch")
        self.struct.n_tokens = filled
        return wanted
