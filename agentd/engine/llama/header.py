"""What the header of a GGUF file says: its keys and the sizes of its tensors, without loading anything.

Read by llama.cpp's own parser, which takes milliseconds where loading only the vocabulary takes a second. Unlike
`LlamaModel.metadata` it also gives the arrays, in which many models say what differs from layer to layer.
"""

import ctypes
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentd.engine.llama.devices import LIBRARY
from agentd.engine.llama.log import LogTail
from agentd.errors import ModelUnavailable

_STRING, _ARRAY = 8, 9  # gguf_type
_NUMBERS: dict[int, Any] = {
    0: ctypes.c_uint8,
    1: ctypes.c_int8,
    2: ctypes.c_uint16,
    3: ctypes.c_int16,
    4: ctypes.c_uint32,
    5: ctypes.c_int32,
    6: ctypes.c_float,
    7: ctypes.c_bool,
    10: ctypes.c_uint64,
    11: ctypes.c_int64,
    12: ctypes.c_double,
}
_LONGEST = 4096  # entries; longer arrays belong to the vocabulary
_FIRST_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


class _Parameters(ctypes.Structure):
    """`gguf_init_params`: read no data, make no tensors."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


_SIGNATURES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "gguf_init_from_file": ((ctypes.c_char_p, _Parameters), ctypes.c_void_p),
    "gguf_free": ((ctypes.c_void_p,), None),
    "gguf_get_n_kv": ((ctypes.c_void_p,), ctypes.c_int64),
    "gguf_get_key": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_char_p),
    "gguf_get_kv_type": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_int),
    "gguf_get_arr_type": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_int),
    "gguf_get_arr_n": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_size_t),
    "gguf_get_arr_data": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_void_p),
    "gguf_get_val_data": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_void_p),
    "gguf_get_val_str": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_char_p),
    "gguf_get_n_tensors": ((ctypes.c_void_p,), ctypes.c_int64),
    "gguf_get_tensor_name": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_char_p),
    "gguf_get_tensor_size": ((ctypes.c_void_p, ctypes.c_int64), ctypes.c_size_t),
}


@dataclass(frozen=True, slots=True)
class Header:
    """A model as its file describes it. Nothing in it is checked: the file is somebody's."""

    pairs: dict[str, str]  # key to text; an array of numbers as JSON, other arrays left out
    tensors: dict[str, int]  # name to bytes, over all parts of a split file
    vocabulary: int  # tokens that are listed; 0 where there is no list


def read_header(path: Path, tail: LogTail) -> Header:
    """Read the header of a file, and of its other parts where it is split. Raises `ModelUnavailable`."""
    header = _read(path, tail)
    if part := _FIRST_PART.search(path.name):
        for number in range(2, int(part[1]) + 1):
            other = path.with_name(f"{path.name[: part.start()]}-{number:05}-of-{part[1]}.gguf")
            header.tensors.update(_read(other, tail).tensors)
    return header


def _read(path: Path, tail: LogTail) -> Header:
    tail.clear()
    handle = _call("gguf_init_from_file", os.fsencode(path), _Parameters(no_alloc=True, context=None))
    if not handle:
        raise ModelUnavailable(f"llama.cpp cannot read {path}: {tail.error() or 'no reason given'}")
    try:
        pairs, vocabulary = {}, 0
        for index in range(_call("gguf_get_n_kv", handle)):
            key = _text(_call("gguf_get_key", handle, index))
            if key == "tokenizer.ggml.tokens" and _call("gguf_get_kv_type", handle, index) == _ARRAY:
                vocabulary = _call("gguf_get_arr_n", handle, index)
            if (value := _value(handle, index)) is not None:
                pairs[key] = value
        tensors = {
            _text(_call("gguf_get_tensor_name", handle, index)): _call("gguf_get_tensor_size", handle, index)
            for index in range(_call("gguf_get_n_tensors", handle))
        }
    finally:
        _call("gguf_free", handle)
    return Header(pairs, tensors, vocabulary)


def _value(handle: int, index: int) -> str | None:
    """A value as text; None for an array of strings and for one that is too long to matter here."""
    kind = _call("gguf_get_kv_type", handle, index)
    if kind == _STRING:
        return _text(_call("gguf_get_val_str", handle, index))
    if kind != _ARRAY:
        return str(_NUMBERS[kind].from_address(_call("gguf_get_val_data", handle, index)).value)
    number = _NUMBERS.get(_call("gguf_get_arr_type", handle, index))
    count = _call("gguf_get_arr_n", handle, index)
    if number is None or count > _LONGEST:
        return None
    if count == 0:
        return "[]"
    return json.dumps(list((number * count).from_address(_call("gguf_get_arr_data", handle, index))))


def _call(name: str, *arguments: object) -> Any:
    """Call a function of ggml, with the types that gguf.h declares."""
    function = LIBRARY[name]
    function.argtypes, function.restype = _SIGNATURES[name]
    return function(*arguments)


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
