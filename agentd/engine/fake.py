"""A scripted model that answers any schema with valid placeholder values, labelled as fake.

For tests, and for trying a config without weights: everything around the model is real, down to the child
process. It reads nothing and understands nothing.
"""

import json
import math
import re
import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from agentd.engine.constraint import compile_schema
from agentd.engine.settings import FAKE, ModelSettings
from agentd.engine.step import News
from agentd.errors import BadSchema, Cancelled, TooLong
from agentd.model import (
    IN_ORDER,
    VECTOR_TYPE,
    WORDS_OF,
    Embeddings,
    Generation,
    Load,
    ModelInfo,
    Rendered,
    Request,
)
from agentd.records import Priority

CONTEXT = 8192
VECTOR = 64  # numbers
_WORD = "fake"


class FakeModel:
    """Looks like `local.LocalModel`, and says what fits."""

    def __init__(self, settings: ModelSettings) -> None:
        self.info = _info(settings, "scripted placeholder values, no model")
        self._waiting: dict[int, Request] = {}

    def render(self, request: Request) -> Rendered:
        """The messages under their roles; a token is four characters."""
        text = "\n\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
        return Rendered(text, -(-len(text) // 4))

    def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where llguidance cannot compile it or no placeholder fits."""
        compile_schema(schema)
        placeholder(schema)

    def add(self, number: int, request: Request) -> None:
        """Keep a request for the next step; raises `TooLong` or `BadSchema`."""
        tokens = self.render(request).tokens
        room = self.info.context - request.max_tokens
        if tokens > room:
            raise TooLong(f"needs {tokens:,} tokens, room for {max(room, 0):,}")
        self._waiting[number] = request

    def cancel(self, number: int) -> list[News]:
        """Forget a request."""
        return [News(number, error=Cancelled())] if self._waiting.pop(number, None) else []

    @property
    def busy(self) -> bool:
        """Whether a request waits."""
        return bool(self._waiting)

    def step(self) -> list[News]:
        """Answer the most urgent request, whole."""
        if not self._waiting:
            return []
        number = min(self._waiting, key=lambda number: (self._waiting[number].priority, number))
        request = self._waiting.pop(number)
        try:
            generation = self._generate(request)
        except BadSchema as error:
            return [News(number, started=True, error=error)]
        return [News(number, started=True, text=generation.text, done=generation)]

    def load(self) -> Load:
        """What waits; nothing is ever in the middle of being answered."""
        return Load(waiting=len(self._waiting))

    def _generate(self, request: Request) -> Generation:
        started = time.monotonic()
        text = _WORD if request.schema is None else json.dumps(placeholder(request.schema))
        return Generation(
            text=text,
            stop="end",
            tokens_in=self.render(request).tokens,
            tokens_cached=0,
            tokens_out=-(-len(text) // 4),
            seconds=time.monotonic() - started,
            probabilities=_even(request),
        )


class FakeEmbedder:
    """Looks like `embedding.EmbeddingModel`: texts are alike as far as they share words."""

    def __init__(self, settings: ModelSettings) -> None:
        self.info = _info(settings, "vectors of counted words, no model", vector=VECTOR)
        self._waiting: dict[int, tuple[Priority, Sequence[str]]] = {}

    @property
    def busy(self) -> bool:
        """Whether a request waits."""
        return bool(self._waiting)

    def embed(self, number: int, texts: Sequence[str], priority: Priority, seconds: float) -> None:
        """Keep a request for the next step."""
        self._waiting[number] = priority, texts

    def cancel(self, number: int) -> list[News]:
        """Forget a request."""
        return [News(number, error=Cancelled())] if self._waiting.pop(number, None) else []

    def step(self) -> list[News]:
        """Answer the most urgent request."""
        if not self._waiting:
            return []
        number = min(self._waiting, key=lambda number: (self._waiting[number][0], number))
        _, texts = self._waiting.pop(number)
        words = sum(len(text.split()) for text in texts)
        return [News(number, started=True, vectors=Embeddings(tuple(map(word_vector, texts)), words))]

    def load(self) -> Load:
        """What waits."""
        return Load(waiting=len(self._waiting))


def word_vector(text: str) -> bytes:
    """A text's words, each counted in one of `VECTOR` places, at length 1; empty for a text without any."""
    counts = np.zeros(VECTOR)
    for word in re.findall(r"\w+", text.lower()):
        counts[zlib.crc32(word.encode()) % VECTOR] += 1
    return (counts / np.linalg.norm(counts)).astype(VECTOR_TYPE).tobytes() if counts.any() else b""


def _even(request: Request) -> dict[str, dict[str, float]]:
    """No choice weighs more than another."""
    properties = (request.schema or {}).get("properties", {})
    choices = {name: properties[name]["enum"] for name in request.decide}
    return {name: {str(choice): 1 / len(among) for choice in among} for name, among in choices.items()}


def placeholder(schema: dict[str, Any]) -> Any:
    """The plainest value that fits a schema; raises `BadSchema` for a pattern it cannot meet."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if WORDS_OF in schema:
        return schema[WORDS_OF].split(maxsplit=1)[0] if schema[WORDS_OF].split() else ""
    if "anyOf" in schema:
        return placeholder(schema["anyOf"][0])
    match schema.get("type"):
        case "object":
            return {name: placeholder(value) for name, value in schema.get("properties", {}).items()}
        case "array" if IN_ORDER in schema:
            return list(schema["items"]["enum"][: schema["minItems"]])
        case "array":
            count = max(schema.get("minItems", 0), min(schema.get("maxItems", 1), 1))
            return [placeholder(schema["items"]) for _ in range(count)]
        case "integer":
            most = min(math.floor(schema.get("maximum", 1)), 1)
            return max(math.ceil(schema.get("minimum", most)), most)
        case "number":
            most = min(schema.get("maximum", 1), 1)
            return max(schema.get("minimum", most), most)
        case "boolean":
            return True
        case "null":
            return None
        case "string":
            return _string(schema)
    raise BadSchema(f"no placeholder for a schema of type {schema.get('type')!r}")


def _string(schema: dict[str, Any]) -> str:
    least = int(schema.get("minLength", 1))
    word = (_WORD * max(1, -(-least // len(_WORD))))[: int(schema.get("maxLength", max(least, len(_WORD))))]
    if "pattern" in schema and not re.search(schema["pattern"], word):
        raise BadSchema(f"the fake model has no text for the pattern {schema['pattern']}")
    return word


def _info(settings: ModelSettings, description: str, vector: int = 0) -> ModelInfo:
    return ModelInfo(
        path=FAKE,
        description=description,
        sha256="",
        context=CONTEXT if settings.context == "auto" else settings.context,
        kv_cache="none",
        gpu_layers=settings.gpu_layers if isinstance(settings.gpu_layers, int) else 0,
        layers=0,
        gpu_in_build=False,
        fake=True,
        vector=vector,
    )
