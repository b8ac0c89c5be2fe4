"""One GGUF model in memory: load it, read what its file says, turn text into tokens and back.

It knows no context: what is evaluated, `context` knows. The functions of llama_cpp are ctypes: a wrong argument
is a crash, not an exception, so nothing reaches them that was not checked here.
"""

import ctypes
import functools
import os
import warnings
from pathlib import Path

from agentd.engine.llama import log  # first: it sets what llama_cpp reads when it is imported

import llama_cpp  # isort: skip
import llguidance
from llguidance.llamacpp import lltokenizer_from_vocab

from agentd.errors import ModelUnavailable

ALL_LAYERS = 999  # more than any model has; llama.cpp takes what there is


class LlamaModel:
    """The weights and the vocabulary of one file. Raises `ModelUnavailable` where it cannot be loaded.

    With `vocab_only` no weights are read: enough for `metadata` and for tokens. With `embeddings` the file need
    not be able to write text.
    """

    def __init__(
        self,
        path: Path,
        tail: log.LogTail,
        *,
        gpu_layers: int = ALL_LAYERS,
        vocab_only: bool = False,
        embeddings: bool = False,
    ) -> None:
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.vocab_only = vocab_only
        # Without a layer to put there, a GPU would still get compute buffers, if it were not kept out of the list.
        nothing = (ctypes.c_void_p * 1)()
        if not gpu_layers:
            params.devices = ctypes.cast(nothing, ctypes.c_void_p)
        handle = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not handle:
            raise ModelUnavailable(f"llama.cpp cannot load {path}: {tail.error() or 'no reason given'}")
        self.handle = handle
        self.on_gpu = gpu_layers > 0 and gpu_in_build()
        suits, what = (_embeds, "makes embeddings") if embeddings else (_writes_text, "writes text")
        if not vocab_only and not suits(handle):
            self.close()
            raise ModelUnavailable(f"{path} is not a model that {what}")
        self._vocab = llama_cpp.llama_model_get_vocab(handle)
        self.vocab_size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        self.end_tokens = frozenset(
            token for token in range(self.vocab_size) if llama_cpp.llama_vocab_is_eog(self._vocab, token)
        )
        self._piece = functools.cache(self._read_piece)

    def close(self) -> None:
        """Free the weights; the model cannot be used any more."""
        llama_cpp.llama_model_free(self.handle)

    @property
    def layers(self) -> int:
        """Layers of the network, without the output layer."""
        return int(llama_cpp.llama_model_n_layer(self.handle))

    @property
    def trained_context(self) -> int:
        """Tokens of context that the model was trained with."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    @property
    def keeps_one_state(self) -> bool:
        """Whether its memory is a state that cannot be cut at a token (Mamba, RWKV and their hybrids)."""
        return bool(
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )

    @property
    def encodes(self) -> bool:
        """Whether it is an encoder and nothing else."""
        return bool(
            llama_cpp.llama_model_has_encoder(self.handle) and not llama_cpp.llama_model_has_decoder(self.handle)
        )

    @property
    def vector_size(self) -> int:
        """Numbers of an embedding."""
        return int(llama_cpp.llama_model_n_embd_out(self.handle))

    @property
    def description(self) -> str:
        """What the file says it is, like `llama 135M Q4_1`."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def metadata(self) -> dict[str, str]:
        """The key-value pairs of the file as text; arrays are left out."""
        pairs = {}
        for index in range(llama_cpp.llama_model_meta_count(self.handle)):
            key = _read_text(llama_cpp.llama_model_meta_key_by_index, self.handle, index)
            pairs[key] = _read_text(llama_cpp.llama_model_meta_val_str_by_index, self.handle, index)
        return pairs

    @property
    def chat_template(self) -> str | None:
        """The Jinja text the file carries for its chat format, if any."""
        raw = llama_cpp.llama_model_chat_template(self.handle, None)
        return raw.decode("utf-8", "replace") if raw else None

    @property
    def bos(self) -> int | None:
        """The token that must begin every sequence, where the model was trained so."""
        return llama_cpp.llama_vocab_bos(self._vocab) if self.adds_bos else None

    @property
    def bos_text(self) -> str:
        """The text of the token that begins a sequence."""
        return self._special_text(llama_cpp.llama_vocab_bos(self._vocab))

    @property
    def eos_text(self) -> str:
        """The text of the token that ends a sequence."""
        return self._special_text(llama_cpp.llama_vocab_eos(self._vocab))

    def constraint_tokenizer(self) -> llguidance.LLTokenizer:
        """The vocabulary as llguidance wants it; takes a third of a second, so keep it."""
        with warnings.catch_warnings():
            # llguidance calls llama.cpp by older names, which still work.
            warnings.simplefilter("ignore", DeprecationWarning)
            return lltokenizer_from_vocab(self._vocab, eos_token=sorted(self.end_tokens))

    def frame(self) -> tuple[list[int], list[int]]:
        """What this vocabulary puts before a text, and what after it."""
        bare, framed = self.tokenize("a", special=False), self._tokenize("a", framed=True, special=False)
        start = next((at for at in range(len(framed)) if framed[at : at + len(bare)] == bare), None)
        return ([], []) if start is None else (framed[:start], framed[start + len(bare) :])

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`. Only with `special` can text become control tokens: never for a document."""
        return self._tokenize(text, framed=False, special=special)

    def _tokenize(self, text: str, *, framed: bool, special: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, framed, special)
        if count < 0:
            raise ValueError(f"llama_tokenize needs room for {-count} tokens of {len(raw)} bytes")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; half a character is possible."""
        return self._piece(token, special)

    def _read_piece(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:count] if count > 0 else b""

    def _special_text(self, token: int) -> str:
        """A special token as the chat template writes it; empty where the model has no such token."""
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")


def gpu_in_build() -> bool:
    """Whether the installed llama.cpp was compiled for a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def _writes_text(handle: llama_cpp.llama_model_p) -> bool:
    return bool(
        llama_cpp.llama_model_has_decoder(handle) and not llama_cpp.llama_model_has_encoder(handle)
    ) and not llama_cpp.llama_model_is_diffusion(handle)


def _embeds(handle: llama_cpp.llama_model_p) -> bool:
    # Of a pair of encoder and decoder, such as a translator, no one vector stands for a text.
    pair = llama_cpp.llama_model_has_encoder(handle) and llama_cpp.llama_model_has_decoder(handle)
    return not pair and not llama_cpp.llama_model_is_diffusion(handle)


def _read_text(function: object, handle: llama_cpp.llama_model_p, index: int) -> str:
    """A text that llama.cpp writes into our buffer; it answers with the length that it would need."""
    size = 4096
    while True:
        buffer = ctypes.create_string_buffer(size)
        needed: int = function(handle, index, buffer, size)  # type: ignore[operator]
        if needed < size:
            return buffer.value.decode("utf-8", "replace")
        size = needed + 1
