"""GGUF files of well-known models with everything but weights: the data behind their headers is a hole.

llama.cpp lays such a model out as it would the real one when it is told to allocate nothing.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agentd.engine.architecture import Architecture, read_architecture

Value = int | float | str | list[int] | list[bool] | list[str]
Tensors = dict[str, tuple[tuple[int, ...], str]]  # name to (dimensions, type)

_U32, _F32, _BOOL, _STRING, _ARRAY = 4, 6, 7, 8, 9
# By name: the number of the type, values in a block, bytes of a block.
_TYPES = {
    "f32": (0, 1, 4),
    "q4_1": (3, 32, 20),
    "q8_0": (8, 32, 34),
    "q4_k": (12, 256, 144),
    "q6_k": (14, 256, 210),
}


def write_header(path: Path, pairs: Mapping[str, Value], tensors: Tensors) -> None:
    """Write a GGUF file whose tensors are all zero, taking no room on the disk."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_text(key) + _value(value) for key, value in pairs.items())
    end = 0
    for name, (dimensions, kind) in tensors.items():
        number = _TYPES[kind][0]
        head += _text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, number, end)
        end += -(-tensor_bytes(dimensions, kind) // 32) * 32
    with path.open("wb") as file:
        file.write(head)
        file.truncate(-(-len(head) // 32) * 32 + end)


def tensor_bytes(dimensions: Sequence[int], kind: str) -> int:
    """Bytes of a tensor."""
    _, block, size = _TYPES[kind]
    total = size * dimensions[0] // block
    for dimension in dimensions[1:]:
        total *= dimension
    return total


def dense(
    name: str,
    layers: int,
    embedding: int,
    feed_forward: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    context: int,
    *,
    head: int = 0,
    tied: bool = False,
    kind: str = "q4_k",
    norms: Sequence[tuple[str, int]] = (),
    **more: Value,
) -> tuple[dict[str, Value], Tensors]:
    """Keys and tensors of an ordinary transformer; `more` are further keys, dots written as `__`."""
    width = head or embedding // heads
    pairs: dict[str, Value] = {
        "general.architecture": name,
        "tokenizer.ggml.model": "no_vocab",
        f"{name}.vocab_size": vocabulary,
        f"{name}.block_count": layers,
        f"{name}.context_length": context,
        f"{name}.embedding_length": embedding,
        f"{name}.feed_forward_length": feed_forward,
        f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": kv_heads,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{name}.rope.dimension_count": width,
    }
    if head:
        pairs |= {f"{name}.attention.key_length": head, f"{name}.attention.value_length": head}
    pairs |= {f"{name}.{key.replace('__', '.')}": value for key, value in more.items()}
    tensors: Tensors = {
        "token_embd.weight": ((embedding, vocabulary), kind),
        "output_norm.weight": ((embedding,), "f32"),
    }
    if not tied:
        tensors["output.weight"] = ((embedding, vocabulary), "q6_k" if kind == "q4_k" else kind)
    for index in range(layers):
        shapes = {
            "attn_q": (embedding, heads * width),
            "attn_k": (embedding, kv_heads * width),
            "attn_v": (embedding, kv_heads * width),
            "attn_output": (heads * width, embedding),
            "ffn_gate": (embedding, feed_forward),
            "ffn_up": (embedding, feed_forward),
            "ffn_down": (feed_forward, embedding),
        }
        tensors |= {f"blk.{index}.{part}.weight": (shape, kind) for part, shape in shapes.items()}
        thin = [("attn_norm.weight", embedding), ("ffn_norm.weight", embedding), *norms]
        tensors |= {f"blk.{index}.{part}": ((size,), "f32") for part, size in thin}
    return pairs, tensors


def mamba(layers: int, embedding: int, vocabulary: int) -> tuple[dict[str, Value], Tensors]:
    """Keys and tensors of a Mamba, which has no attention."""
    inner, space, window, rank = 2 * embedding, 16, 4, -(-embedding // 16)
    pairs: dict[str, Value] = {
        "general.architecture": "mamba",
        "tokenizer.ggml.model": "no_vocab",
        "mamba.vocab_size": vocabulary,
        "mamba.block_count": layers,
        "mamba.context_length": 2**20,
        "mamba.embedding_length": embedding,
        "mamba.feed_forward_length": 0,
        "mamba.attention.head_count": 0,
        "mamba.attention.layer_norm_rms_epsilon": 1e-5,
        "mamba.ssm.conv_kernel": window,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": space,
        "mamba.ssm.time_step_rank": rank,
    }
    tensors: Tensors = {
        "token_embd.weight": ((embedding, vocabulary), "q8_0"),
        "output_norm.weight": ((embedding,), "f32"),
    }
    for index in range(layers):
        shapes: Tensors = {
            "attn_norm.weight": ((embedding,), "f32"),
            "ssm_in.weight": ((embedding, 2 * inner), "q8_0"),
            "ssm_conv1d.weight": ((window, inner), "f32"),
            "ssm_conv1d.bias": ((inner,), "f32"),
            "ssm_x.weight": ((inner, rank + 2 * space), "q8_0"),
            "ssm_dt.weight": ((rank, inner), "f32"),
            "ssm_dt.bias": ((inner,), "f32"),
            "ssm_a": ((space, inner), "f32"),
            "ssm_d": ((inner,), "f32"),
            "ssm_out.weight": ((inner, embedding), "q8_0"),
        }
        tensors |= {f"blk.{index}.{part}": shape for part, shape in shapes.items()}
    return pairs, tensors


def mixture() -> tuple[dict[str, Value], Tensors]:
    """Qwen3 30B A3B: 128 experts a layer, of which 8 work."""
    name, layers, embedding, experts, inner = "qwen3moe", 48, 2048, 128, 768
    norms = (("attn_q_norm.weight", 128), ("attn_k_norm.weight", 128))
    pairs, tensors = dense(name, layers, embedding, 6144, 32, 4, 151936, 40960, head=128, norms=norms)
    pairs |= {
        f"{name}.expert_count": experts,
        f"{name}.expert_used_count": 8,
        f"{name}.expert_feed_forward_length": inner,
    }
    for index in range(layers):
        for part, shape in {
            "gate": (embedding, inner, experts),
            "up": (embedding, inner, experts),
            "down": (inner, embedding, experts),
        }.items():
            del tensors[f"blk.{index}.ffn_{part}.weight"]
            tensors[f"blk.{index}.ffn_{part}_exps.weight"] = (shape, "q4_k")
        tensors[f"blk.{index}.ffn_gate_inp.weight"] = ((embedding, experts), "f32")
    return pairs, tensors


def _after(embedding: int, head: int = 0) -> list[tuple[str, int]]:
    """The further norms of the Gemmas."""
    norms = [("post_attention_norm.weight", embedding), ("post_ffw_norm.weight", embedding)]
    return [*norms, ("attn_q_norm.weight", head), ("attn_k_norm.weight", head)] if head else norms


MODELS: dict[str, Callable[[], tuple[dict[str, Value], Tensors]]] = {
    "SmolLM2 135M": lambda: dense("llama", 30, 576, 1536, 9, 3, 49152, 8192, tied=True, kind="q4_1"),
    "Llama 2 7B": lambda: dense("llama", 32, 4096, 11008, 32, 32, 32000, 4096),
    "Llama 3 8B": lambda: dense("llama", 32, 4096, 14336, 32, 8, 128256, 8192),
    "Llama 3.2 1B": lambda: dense("llama", 16, 2048, 8192, 32, 8, 128256, 131072, tied=True),
    "Qwen2.5 7B": lambda: dense(
        "qwen2",
        28,
        3584,
        18944,
        28,
        4,
        152064,
        32768,
        norms=(("attn_q.bias", 3584), ("attn_k.bias", 512), ("attn_v.bias", 512)),
    ),
    "Gemma 2 2B": lambda: dense(
        "gemma2",
        26,
        2304,
        9216,
        8,
        4,
        256000,
        8192,
        head=256,
        tied=True,
        norms=_after(2304),
        attention__sliding_window=4096,
    ),
    "Gemma 3 4B": lambda: dense(
        "gemma3",
        34,
        2560,
        10240,
        8,
        4,
        262144,
        131072,
        head=256,
        tied=True,
        norms=_after(2560, 256),
        attention__sliding_window=1024,
    ),
    "heads of 80": lambda: dense("llama", 4, 2560, 6912, 32, 32, 50304, 4096),
    "Mamba 130M": lambda: mamba(24, 768, 50280),
    "Qwen3 30B A3B": mixture,
}


def architecture(name: str) -> Architecture:
    """One of the models, as its header would be read."""
    pairs, tensors = MODELS[name]()
    told = {key: json.dumps(value) if isinstance(value, list) else str(value) for key, value in pairs.items()}
    return read_architecture(told, {key: tensor_bytes(*shape) for key, shape in tensors.items()}, 0)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_text, map(str, value)))
    kind, letter = (_BOOL, "?") if value and isinstance(value[0], bool) else (_U32, "I")
    return struct.pack(f"<IIQ{len(value)}{letter}", _ARRAY, kind, len(value), *value)
