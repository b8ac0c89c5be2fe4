"""What a header says about memory, for families that differ, and for headers that lie."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.engine.architecture import (
    Architecture,
    Layer,
    check_kv_types,
    kv_bytes_per_cell,
    kv_types,
    read_architecture,
)
from agentd.errors import ModelUnavailable
from tests.engine.headers import MODELS, architecture

PLAIN = {
    "general.architecture": "llama",
    "llama.block_count": "4",
    "llama.context_length": "4096",
    "llama.embedding_length": "1024",
    "llama.feed_forward_length": "4096",
    "llama.attention.head_count": "8",
    "llama.attention.head_count_kv": "2",
}


def read(tensors: Mapping[str, int] | None = None, **changes: str | None) -> Architecture:
    """A plain model with other keys; dots are written as `__`, None takes a key away."""
    pairs: dict[str, Any] = PLAIN | {f"llama.{key.replace('__', '.')}": value for key, value in changes.items()}
    return read_architecture(
        {key: value for key, value in pairs.items() if value is not None}, tensors or {}, 1000
    )


@pytest.mark.parametrize(
    ("name", "k", "v", "expected"),
    [
        ("SmolLM2 135M", "q8_0", "q8_0", 30 * 2 * 192 * 34 // 32),
        ("Llama 2 7B", "f16", "f16", 512 * 1024),
        ("Llama 3 8B", "f16", "f16", 128 * 1024),
        ("Llama 3 8B", "q8_0", "q4_0", 32 * 1024 * (34 + 18) // 32),
        ("Qwen2.5 7B", "f16", "f16", 56 * 1024),
        ("Gemma 2 2B", "f16", "f16", 104 * 1024),  # windows count in full
        ("Gemma 3 4B", "f16", "f16", 136 * 1024),
        ("Qwen3 30B A3B", "f16", "f16", 96 * 1024),
        ("Mamba 130M", "f16", "f16", 0),
    ],
)
def test_a_token_takes_as_much_cache_as_is_known_of_these(name: str, k: str, v: str, expected: int) -> None:
    assert kv_bytes_per_cell(architecture(name), k, v) == expected


def test_a_mamba_keeps_a_state_for_each_sequence() -> None:
    mamba = architecture("Mamba 130M")
    assert {layer.state for layer in mamba.layers} == {4 * (3 * 1536 + 1536 * 16)}
    assert kv_types(mamba)[0] == kv_types(mamba)[1] == kv_types(architecture("Llama 3 8B"))[0]


def test_weights_are_told_by_where_llama_puts_them() -> None:
    tensors = {
        "token_embd.weight": 100,
        "output_norm.weight": 1,
        "blk.0.attn_q.weight": 10,
        "blk.0.ffn_up.weight": 20,
        "blk.3.attn_q.weight": 40,
        "blk.9.attn_q.weight": 3,  # no such layer: with the output, where all that is left over goes
    }
    tied = read(tensors)
    assert [layer.weights for layer in tied.layers] == [30, 0, 0, 40]
    assert (tied.input_weights, tied.output_weights, tied.shared_weights) == (100, 4, 100)
    assert (tied.largest_tensor, tied.units) == (40, 5)
    untied = read(tensors | {"output.weight": 70})
    assert (untied.output_weights, untied.shared_weights) == (74, 0)


def test_layers_may_differ() -> None:
    mixed = read(
        {"blk.0.ssm_in.weight": 1, "blk.1.ssm_in.weight": 1, "blk.1.attn_k.weight": 1, "blk.2.attn_k.weight": 1},
        attention__head_count_kv="[0, 2, 4, 2]",
        ssm__conv_kernel="4",
        ssm__inner_size="64",
        ssm__state_size="16",
        ssm__group_count="1",
    )
    state = 4 * (3 * (64 + 2 * 16) + 64 * 16)
    assert mixed.layers == (
        Layer(1, 0, 0, state),
        Layer(2, 256, 256, state),
        Layer(1, 512, 512, 0),
        Layer(0, 256, 256, 0),
    )


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({"wkv__head_size": "64"}, 1024 * (64 + 2)),
        ({"shortconv__l_cache": "3"}, 1024 * 2),
        ({"kda__head_dim": "128", "ssm__conv_kernel": "4"}, 8 * 128 * (9 + 128)),
    ],
)
def test_the_state_of_other_recurrent_families(changes: dict[str, str], values: int) -> None:
    names = {"blk.0.time_mix_k.weight": 1, "blk.1.shortconv.conv.weight": 1, "blk.2.ssm_conv1d_q.weight": 1}
    model = read(names, **changes)
    assert [layer.state for layer in model.layers] == [4 * values, 4 * values, 4 * values, 0]
    assert [layer.k_width for layer in model.layers] == [0, 0, 0, 256]


def test_windows_with_narrower_heads_count_layer_by_layer() -> None:
    changes = {"attention__key_length": "128", "attention__key_length_swa": "64"}
    told = read(**changes, attention__sliding_window_pattern="[true, true, false, true]")
    assert [layer.k_width for layer in told.layers] == [128, 128, 256, 128]
    assert told.k_heads == {64, 128}
    assert [layer.k_width for layer in read(**changes, attention__sliding_window_pattern="6").layers] == [256] * 4


def test_layers_that_draft_or_share_keep_no_cache() -> None:
    assert [layer.k_width for layer in read(nextn_predict_layers="1").layers] == [256, 256, 256, 0]
    assert [layer.k_width for layer in read(attention__shared_kv_layers="3").layers] == [256, 0, 0, 0]


def test_experts_that_work_at_once_count_together() -> None:
    assert read().feed_forward == 4096
    assert read(expert_used_count="8", expert_feed_forward_length="768").feed_forward == 6144


def test_what_a_header_leaves_out_is_taken_as_llama_does() -> None:
    plain = read(attention__head_count_kv=None)
    assert {layer.k_width for layer in plain.layers} == {1024}, "as many KV heads as heads"
    assert plain.attention == 1024
    assert read(attention__head_count="[0, 8, 8, 8]").k_heads == {128}
    assert read_architecture(PLAIN | {"llama.vocab_size": "77"}, {}, 0).vocabulary == 77


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"block_count": None}, r"says nothing for llama\.block_count: a number from 1 to 512"),
        ({"block_count": "513"}, r"'513' for llama\.block_count"),
        ({"block_count": "0"}, r"llama\.block_count"),
        ({"block_count": "many"}, r"'many' for llama\.block_count"),
        ({"block_count": "[4]"}, r"llama\.block_count"),
        ({"block_count": "[" * 100_000}, r"llama\.block_count"),
        ({"embedding_length": "0"}, r"llama\.embedding_length"),
        ({"context_length": None}, r"llama\.context_length"),
        ({"attention__head_count": "-1"}, r"'-1' for llama\.attention\.head_count"),
        ({"attention__head_count_kv": "[1, 2]"}, r"llama\.attention\.head_count_kv for 2 of its 4 layers"),
        ({"attention__head_count_kv": '["a", 1, 1, 1]'}, r"llama\.attention\.head_count_kv"),
        ({"attention__key_length": "4294967295"}, r"llama\.attention\.key_length"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_key(changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        read(**changes)


def test_a_file_without_an_architecture_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match=r"general\.architecture"):
        read_architecture({}, {}, 0)


values = st.one_of(
    st.integers(-2, 2**33).map(str), st.text(max_size=8), st.lists(st.integers(0, 2**21), max_size=6).map(str)
)


@given(st.dictionaries(st.sampled_from(sorted(PLAIN)[1:]), values), st.dictionaries(st.text(), st.integers(0, 9)))
def test_any_header_is_read_or_refused(changes: dict[str, str], tensors: dict[str, int]) -> None:
    try:
        model = read_architecture(PLAIN | changes, tensors, 10)
    except ModelUnavailable:
        return
    weights = sum(layer.weights for layer in model.layers) + model.input_weights + model.output_weights
    assert weights == sum(tensors.values())
    assert kv_bytes_per_cell(model, "q8_0", "q4_0") >= 0


def test_heads_that_a_type_does_not_divide_rule_it_out() -> None:
    odd = architecture("heads of 80")
    assert kv_types(odd) == (("f32", "f16", "bf16"), ("f32", "f16", "bf16"))
    check_kv_types(odd, "f16", "bf16")
    with pytest.raises(ModelUnavailable, match=r"kv_cache: k: q8_0 does not work .* k may be f32, f16, bf16$"):
        check_kv_types(odd, "q8_0", "f16")
    with pytest.raises(ModelUnavailable, match="kv_cache: v: q4_0 does not"):
        check_kv_types(odd, "f16", "q4_0")


def test_without_flash_attention_v_is_not_quantized() -> None:
    pairs = {key.replace("llama.", "grok."): value for key, value in PLAIN.items()}
    grok = read_architecture(pairs | {"general.architecture": "grok"}, {}, 0)
    check_kv_types(grok, "q8_0", "f16")
    with pytest.raises(ModelUnavailable, match=r"v: q8_0 does not work with this model; v may be f32, f16, bf16$"):
        check_kv_types(grok, "q8_0", "q8_0")


def test_one_cache_for_both_takes_one_type() -> None:
    latent = read(
        attention__head_count_kv="1",
        attention__key_length="576",
        attention__value_length="512",
        attention__key_length_mla="192",
        attention__value_length_mla="128",
    )
    assert kv_bytes_per_cell(latent, "f16", "f16") == 4 * 576 * 2
    check_kv_types(latent, "q8_0", "q8_0")
    with pytest.raises(
        ModelUnavailable, match=r"one cache, so q8_0/f16 does not work; both may be f32, f16, .*iq4_nl"
    ):
        check_kv_types(latent, "q8_0", "f16")


def test_every_model_of_the_tests_is_read() -> None:
    for name in MODELS:
        assert architecture(name).units > 1
