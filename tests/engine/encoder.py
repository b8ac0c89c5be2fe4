"""A BERT of one layer with weights by chance: it knows nothing, but llama.cpp runs it as it would a real one."""

from pathlib import Path

import numpy as np

from tests.engine.headers import Tensors, Value, tensor_bytes, write_header

SIZE, INNER, CONTEXT = 32, 64, 128
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLS, SEP = 2, 3
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_encoder(path: Path, *, pooling: int | None = 1) -> Path:
    """Write the file; `pooling` as llama.cpp counts it: 1 for the mean, 4 for a model that ranks."""
    tokens = [*_SPECIAL, *(f"▁{letter}" for letter in _LETTERS), *_LETTERS]
    pairs: dict[str, Value] = {
        "general.architecture": "bert",
        "bert.block_count": 1,
        "bert.context_length": CONTEXT,
        "bert.embedding_length": SIZE,
        "bert.feed_forward_length": INNER,
        "bert.attention.head_count": 2,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.bos_token_id": CLS,
        "tokenizer.ggml.seperator_token_id": SEP,
        "tokenizer.ggml.mask_token_id": 4,
    }
    if pooling is not None:
        pairs["bert.pooling_type"] = pooling
    square, wide, tall, thin = (SIZE, SIZE), (SIZE, INNER), (INNER, SIZE), (SIZE,)
    tensors: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (SIZE, len(tokens)),
        "position_embd.weight": (SIZE, CONTEXT),
        "token_types.weight": (SIZE, 2),
        "token_embd_norm.weight": thin,
        "token_embd_norm.bias": thin,
    }
    shapes = {"attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square}
    for name, shape in (shapes | {"ffn_up": wide, "ffn_down": tall}).items():
        tensors |= {f"blk.0.{name}.weight": shape, f"blk.0.{name}.bias": shape[1:]}
    for name in ("attn_output_norm", "layer_output_norm"):
        tensors |= {f"blk.0.{name}.weight": thin, f"blk.0.{name}.bias": thin}
    typed: Tensors = {name: (shape, "f32") for name, shape in tensors.items()}
    write_header(path, pairs, typed)
    room = sum(-(-tensor_bytes(*shape) // 32) * 32 for shape in typed.values())
    with path.open("r+b") as file:
        file.seek(-room, 2)
        file.write(np.random.default_rng(5).normal(size=room // 4).astype(np.float32).tobytes())
    return path
