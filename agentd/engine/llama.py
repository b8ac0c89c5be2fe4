"""llama.cpp through llama-cpp-python's low-level functions: load, tokenize, feed tokens, read logits.

The only module that imports llama_cpp. Its functions are ctypes: a wrong argument is a crash, not an
exception, so nothing reaches them that was not checked here. It knows tokens; it knows no chat, no schema
and no request.
"""

import ctypes
import os
import re
import warnings
from collections import deque
from collections.abc import Sequence
from pathlib import Path

# Without this an abort inside ggml spawns a debugger, which hangs where nobody watches.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

import llama_cpp
import llguidance
import numpy as np
import psutil
from llguidance.llamacpp import lltokenizer_from_vocab
from numpy.typing import NDArray

from agentd.engine.settings import ModelSettings
from agentd.errors import EngineError, ModelUnavailable

AUTO_CONTEXT = 8192  # tokens: room for a long note; the KV cache of a small model stays below 100 MB
BATCH = 512  # tokens one llama_decode may take, llama.cpp's own default for a physical batch

_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
    "iq4_nl": llama_cpp.GGML_TYPE_IQ4_NL,
}
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")


class LogTail:
    """The last lines that llama.cpp logged: the only place where it says why a load failed."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=200)
        # ctypes keeps no reference of its own; without this one the callback is collected and the next
        # log line crashes.
        self._callback = llama_cpp.llama_log_callback(self._write)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _write(self, level: int, text: bytes | None, _user_data: object) -> None:
        for line in (text or b"").decode("utf-8", "replace").splitlines():
            if line.strip(" ."):
                self.lines.append(line.strip())

    def error(self) -> str:
        """The first line that speaks of an error, which later ones only follow from; or else nothing."""
        words = ("error", "failed", "unable", "invalid", "not supported", "requires")
        found = [line for line in self.lines if any(word in line.lower() for word in words)]
        return found[0] if found else ""

    def offloaded(self) -> int:
        """Layers that were put on a GPU, as llama.cpp reported them."""
        found = [match for line in self.lines if (match := _OFFLOADED.search(line))]
        return int(found[-1][1]) if found else 0


class Llama:
    """One loaded model with one context and one sequence.

    `feed` appends tokens to what stands in the KV cache and `rewind` cuts it back to what a new prompt
    shares with it. Not safe for threads. Raises `ModelUnavailable` where it cannot be loaded.
    """

    def __init__(self, path: Path, settings: ModelSettings) -> None:
        self.log = LogTail()
        llama_cpp.llama_backend_init()
        self.gpu_in_build = bool(llama_cpp.llama_supports_gpu_offload())
        self._model = self._load(path, settings)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        trained = llama_cpp.llama_model_n_ctx_train(self._model)
        wanted = min(trained, AUTO_CONTEXT) if settings.context == "auto" else settings.context
        if wanted > trained:
            raise ModelUnavailable(
                f"context: {wanted:,} is more than the {trained:,} tokens this model was trained with",
                hint="agentd config path",
            )
        self._context = self._open_context(wanted, settings)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._cached: list[int] = []
        self.context = int(llama_cpp.llama_n_ctx(self._context))
        self.layers = int(llama_cpp.llama_model_n_layer(self._model))
        self.vocab_size = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        self.end_tokens = frozenset(
            token for token in range(self.vocab_size) if llama_cpp.llama_vocab_is_eog(self._vocab, token)
        )

    @property
    def description(self) -> str:
        """What the file says it is, like `llama 135M Q4_1`."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self._model, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        """The Jinja text the file carries for its chat format, if any."""
        raw = llama_cpp.llama_model_chat_template(self._model, None)
        return raw.decode("utf-8", "replace") if raw else None

    def token_text(self, token: int) -> str:
        """A special token as the chat template writes it; empty where the model has no such token."""
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")

    @property
    def bos(self) -> int | None:
        """The token that must begin every sequence, where the model was trained so."""
        return llama_cpp.llama_vocab_bos(self._vocab) if self.adds_bos else None

    @property
    def bos_text(self) -> str:
        """The text of the token that begins a sequence."""
        return self.token_text(llama_cpp.llama_vocab_bos(self._vocab))

    @property
    def eos_text(self) -> str:
        """The text of the token that ends a sequence."""
        return self.token_text(llama_cpp.llama_vocab_eos(self._vocab))

    def constraint_tokenizer(self) -> llguidance.LLTokenizer:
        """The vocabulary as llguidance wants it; takes a third of a second, so keep it."""
        with warnings.catch_warnings():
            # llguidance calls llama.cpp by older names, which still work.
            warnings.simplefilter("ignore", DeprecationWarning)
            return lltokenizer_from_vocab(self._vocab, eos_token=sorted(self.end_tokens))

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of `text`. Only with `special` can text become control tokens: never for a document."""
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, False, special)
        if count < 0:
            raise ValueError(f"llama_tokenize needs room for {-count} tokens of {len(raw)} bytes")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; half a character is possible."""
        buffer = ctypes.create_string_buffer(512)
        count = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:count] if count > 0 else b""

    def rewind(self, prompt: Sequence[int]) -> int:
        """Keep what the KV cache shares with `prompt`, drop the rest; return how many tokens were kept.

        At least one token of the prompt is left to feed, since logits come only from feeding.
        """
        shared = 0
        for old, new in zip(self._cached, prompt[:-1], strict=False):
            if old != new:
                break
            shared += 1
        # A recurrent state cannot be cut in the middle: llama.cpp says so, and all of it goes.
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, shared, -1):
            llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)
            shared = 0
        del self._cached[shared:]
        return shared

    def feed(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append at most `BATCH` tokens; return the logits after the last, shape (vocab_size,), not a copy."""
        if not 0 < len(tokens) <= BATCH:
            raise ValueError(f"{len(tokens)} tokens in one batch of {BATCH}")
        if len(self._cached) + len(tokens) > self.context:
            raise ValueError(f"{len(self._cached) + len(tokens)} tokens in a context of {self.context}")
        batch, start = self._batch, len(self._cached)
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = start + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = index == len(tokens) - 1
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            self._forget()
            raise EngineError(f"llama_decode answered {status}")
        self._cached += tokens
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(logits, shape=(self.vocab_size,))

    def _forget(self) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)
        self._cached.clear()

    def _load(self, path: Path, settings: ModelSettings) -> llama_cpp.llama_model_p:
        params = llama_cpp.llama_model_default_params()
        # 999 is more than any model has; llama.cpp takes what there is.
        params.n_gpu_layers = 999 if settings.gpu_layers in ("auto", "all") else settings.gpu_layers
        model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise ModelUnavailable(f"llama.cpp cannot load {path}: {self.log.error() or 'no reason given'}")
        if llama_cpp.llama_model_has_encoder(model) or not llama_cpp.llama_model_has_decoder(model):
            raise ModelUnavailable(f"{path} is not a model that writes text")
        return model

    def _open_context(self, size: int, settings: ModelSettings) -> llama_cpp.llama_context_p:
        threads = psutil.cpu_count(logical=False) or 1 if settings.threads == "auto" else settings.threads
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = size
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.type_k = _KV_TYPES[settings.kv_cache.k]
        params.type_v = _KV_TYPES[settings.kv_cache.v]
        # A quantized V cache exists only with flash attention.
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.kv_unified = True
        params.no_perf = True
        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            raise ModelUnavailable(
                f"llama.cpp cannot open a context of {size:,} tokens with kv_cache {settings.kv_cache}: "
                f"{self.log.error() or 'no reason given'} (types it takes: {', '.join(_KV_TYPES)})",
                hint="agentd config path",
            )
        return context
