"""What the header of a model says about the memory it takes: layer by layer, weights, cache and state.

Pure: keys and tensor sizes in, numbers out. The file is somebody's, so a number that cannot be is refused by the
key's name before llama.cpp aborts over it. What a family keeps beside its cache in a way of its own (indexers,
draft heads) is not known here; a margin and what loading really took cover that.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentd.errors import ModelUnavailable

HINT = "agentd config path"
# Values that a type packs together, and the bytes of such a block (ggml-common.h).
KV_BLOCKS = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q5_1": (32, 24),
    "q5_0": (32, 22),
    "q4_1": (32, 20),
    "q4_0": (32, 18),
    "iq4_nl": (32, 18),
}
MOST_LAYERS = 512  # LLAMA_MAX_LAYERS: llama.cpp aborts beyond it
_MOST_WIDTH = 2**20  # wider than any network by far
_LAYER = re.compile(r"blk\.(\d{1,4})\.(.*)")
_INPUT = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
_RECURRENT = ("ssm_", "shortconv", "time_mix")
_NO_FLASH = ("grok",)  # llama.cpp switches flash attention off for these, without which V cannot be quantized


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a network."""

    weights: int  # bytes
    k_width: int  # values that one cell of its cache holds; 0 without a cache
    v_width: int
    state: int  # bytes of recurrent state a sequence


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's measures. Weights are in bytes, everything else counts values."""

    name: str
    trained_context: int  # tokens
    embedding: int
    attention: int  # values that all heads of a layer take together
    feed_forward: int  # the widest inner step of a layer, over all experts that work at once
    vocabulary: int
    layers: tuple[Layer, ...]
    input_weights: int  # which llama.cpp keeps with the CPU
    output_weights: int  # of the output layer
    shared_weights: int  # of the input's, what the output layer uses too: a copy where that is on a GPU
    largest_tensor: int  # of a layer
    k_heads: frozenset[int]  # the widths of a head, by which llama.cpp judges the types of a cache
    v_heads: frozenset[int]
    flash_attention: bool
    one_cache: bool  # V is read out of K's cache

    @property
    def units(self) -> int:
        """What `gpu_layers` counts: the layers and the output layer."""
        return len(self.layers) + 1


def row_bytes(width: int, kind: str) -> int:
    """Bytes of one cell that holds `width` values of a KV type."""
    block, size = KV_BLOCKS[kind]
    return math.ceil(width / block) * size


def layer_cell_bytes(layer: Layer, k: str, v: str) -> int:
    """Bytes of one cell of one layer's cache."""
    return row_bytes(layer.k_width, k) + row_bytes(layer.v_width, v)


def kv_bytes_per_cell(architecture: Architecture, k: str, v: str) -> int:
    """Bytes that one token takes in the KV cache, over all layers.

    Layers that look back only a window cost as much as the others: contexts are opened with llama.cpp's default
    `swa_full`, which keeps all of it, so that a prefix can be shared and a sequence cut anywhere.
    """
    return sum(layer_cell_bytes(layer, k, v) for layer in architecture.layers)


def kv_types(architecture: Architecture) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The types that K may have with this model, and those of V."""
    return (
        tuple(kind for kind in KV_BLOCKS if _divides(kind, architecture.k_heads)),
        tuple(
            kind
            for kind, (block, _) in KV_BLOCKS.items()
            if _divides(kind, architecture.v_heads) and (architecture.flash_attention or block == 1)
        ),
    )


def check_kv_types(architecture: Architecture, k: str, v: str) -> None:
    """Raise `ModelUnavailable`, with the types that work, for a pair that llama.cpp would not take."""
    for name, kind, possible in zip("kv", (k, v), kv_types(architecture), strict=True):
        if kind not in possible:
            raise ModelUnavailable(
                f"kv_cache: {name}: {kind} does not work with this model; {name} may be {', '.join(possible)}",
                hint=HINT,
            )
    if architecture.one_cache and k != v:
        both = [kind for kind in kv_types(architecture)[0] if kind in kv_types(architecture)[1]]
        raise ModelUnavailable(
            f"kv_cache: this model keeps K and V in one cache, so {k}/{v} does not work; "
            f"both may be {', '.join(both)}",
            hint=HINT,
        )


def read_architecture(pairs: Mapping[str, str], tensors: Mapping[str, int], vocabulary: int) -> Architecture:
    """Read the keys of a header and its tensors (name to bytes). Raises `ModelUnavailable` naming a bad key."""
    keys = _Keys(pairs)
    count = keys.number("block_count", least=1, most=MOST_LAYERS)
    embedding = keys.number("embedding_length", least=1)
    heads = keys.each("attention.head_count", count, 0)
    kv_heads = keys.each("attention.head_count_kv", count, heads)
    # As llama.cpp does: the width of a head follows from the first layer's, unless it is told.
    width = embedding // (heads[0] or max(heads)) if any(heads) else 0
    k_sizes, v_sizes = keys.head_sizes(count, width)
    one_cache = all(keys.number(f"attention.{name}_length_mla", default=0) for name in ("key", "value"))
    # The last layers may only draft tokens, or read the cache of earlier ones.
    drafts = keys.number("nextn_predict_layers", most=count, default=0) % count
    cached = count - max(drafts, keys.number("attention.shared_kv_layers", most=count - 1, default=0))
    state = keys.state(embedding, max(heads))
    weights, names = _by_layer(tensors, count)
    layers = []
    for index in range(count):
        recurrent = any(name.startswith(_RECURRENT) for name in names[index])
        attends = index < cached and (not recurrent or "attn_k.weight" in names[index])
        layers.append(
            Layer(
                weights=weights[index],
                k_width=k_sizes[index] * kv_heads[index] if attends else 0,
                v_width=v_sizes[index] * kv_heads[index] if attends and not one_cache else 0,
                state=state if recurrent else 0,
            )
        )
    inputs = sum(size for name, size in tensors.items() if name.startswith(_INPUT))
    tied = "output.weight" not in tensors
    return Architecture(
        name=keys.name,
        trained_context=keys.number("context_length", least=1, most=2**31),
        embedding=embedding,
        attention=max(count * size for count, size in zip(heads, k_sizes, strict=True)),
        feed_forward=keys.feed_forward(count),
        vocabulary=vocabulary or keys.number("vocab_size", most=2**24, default=0),
        layers=tuple(layers),
        input_weights=inputs,
        output_weights=sum(tensors.values()) - inputs - sum(weights),
        shared_weights=tensors.get("token_embd.weight", 0) if tied else 0,
        largest_tensor=max((size for name, size in tensors.items() if _LAYER.match(name)), default=0),
        k_heads=frozenset(k_sizes),
        v_heads=frozenset(v_sizes),
        flash_attention=keys.name not in _NO_FLASH,
        one_cache=one_cache,
    )


class _Keys:
    """The keys of one architecture, as numbers."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.name = pairs.get("general.architecture", "")
        if not self.name:
            raise ModelUnavailable("the model does not say its general.architecture")
        self._pairs = pairs

    def number(self, key: str, *, least: int = 0, most: int = _MOST_WIDTH, default: int | None = None) -> int:
        """One number; `default` where the key is missing, which None forbids."""
        value = self._value(key)
        if value is None and default is not None:
            return default
        return _whole(f"{self.name}.{key}", value, least, most)

    def each(self, key: str, count: int, default: int | list[int]) -> list[int]:
        """A number for each of `count` layers, from one for all or an array."""
        value = self._value(key)
        if value is None:
            return list(default) if isinstance(default, list) else [default] * count
        values = value if isinstance(value, list) else [value] * count
        if len(values) < count:
            raise ModelUnavailable(f"the model says {self.name}.{key} for {len(values)} of its {count} layers")
        return [_whole(f"{self.name}.{key}", entry, 0, _MOST_WIDTH) for entry in values[:count]]

    def head_sizes(self, count: int, width: int) -> tuple[list[int], list[int]]:
        """The widths of a head of K and of V, for each layer."""
        windowed = [False] * count
        if isinstance(self._value("attention.sliding_window_pattern"), list):
            windowed = [bool(entry) for entry in self.each("attention.sliding_window_pattern", count, 0)]
        sizes = []
        for name in ("key", "value"):
            full = self.number(f"attention.{name}_length", default=width)
            window = self.number(f"attention.{name}_length_swa", default=full)
            # Where it isn't told which layers have the narrow heads, all count as wide.
            wide = full if any(windowed) else max(full, window)
            sizes.append([window if narrow else wide for narrow in windowed])
        return sizes[0], sizes[1]

    def feed_forward(self, count: int) -> int:
        """The widest inner step of a layer."""
        dense = max(self.each("feed_forward_length", count, 0))
        expert = max(self.each("expert_feed_forward_length", count, dense))
        working = max(self.each("expert_used_count", count, 0))
        # A state space layer projects into two of its inner widths at once.
        return max(dense, expert * working, 2 * self.number("ssm.inner_size", default=0))

    def state(self, embedding: int, heads: int) -> int:
        """Bytes that a recurrent layer keeps of one sequence, in f32."""
        kept = max(self.number("ssm.conv_kernel", default=0) - 1, 0)
        inner, space = self.number("ssm.inner_size", default=0), self.number("ssm.state_size", default=0)
        if head := self.number("wkv.head_size", default=0):  # RWKV
            values = embedding * (head + self.number("token_shift_count", default=2))
        elif window := self.number("shortconv.l_cache", default=0):  # LFM2
            values = embedding * (window - 1)
        elif head := self.number("kda.head_dim", default=0):  # Kimi
            values = heads * head * (3 * (kept or 3) + head)
        else:  # Mamba and its kin
            values = kept * (inner + 2 * self.number("ssm.group_count", default=0) * space) + inner * space
        return 4 * values

    def _value(self, key: str) -> object:
        """The value under a key: a text, or a list where it is an array; None where there is none."""
        text = self._pairs.get(f"{self.name}.{key}")
        if text is None or not text.startswith("["):
            return text
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # a text that only looks like an array
            return text


def _by_layer(tensors: Mapping[str, int], count: int) -> tuple[list[int], list[set[str]]]:
    """The bytes of each layer, and the names of its tensors without the prefix."""
    weights, names = [0] * count, [set[str]() for _ in range(count)]
    for name, size in tensors.items():
        found = _LAYER.match(name)
        if found and (index := int(found[1])) < count:
            weights[index] += size
            names[index].add(found[2])
    return weights, names


def _whole(key: str, value: object, least: int, most: int) -> int:
    try:
        number = int(value) if isinstance(value, str | int) else None
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        told = "nothing" if value is None else repr(value)[:40]
        raise ModelUnavailable(f"the model says {told} for {key}: a number from {least:,} to {most:,} is needed")
    return number


def _divides(kind: str, widths: frozenset[int]) -> bool:
    return all(width % KV_BLOCKS[kind][0] == 0 for width in widths)
