"""The seam between those who ask a model and the engine that runs it: what is asked, what comes back.

A task run or an ask gets a `Model`; which engine, process or machine stands behind it is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agentd.records import Priority

# Two keywords that schemas know beside JSON Schema. A string may be bound to the words of a text, in their order:
WORDS_OF = "x-words-of"
# … and a list of choices (`items: {enum}`) to the order of these, each at most once.
IN_ORDER = "x-in-order"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. The content is data: no text in it can become a control token."""

    role: str  # system, user or assistant
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked, with every bound it has to keep."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None  # JSON Schema of the answer, plus WORDS_OF; None for free text
    max_tokens: int = 512
    seconds: float = 300.0
    priority: Priority = Priority.TRIGGERED


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt exactly as the model will see it."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model answered."""

    text: str
    stop: str  # "end", or "length" where a bound cut it
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is really loaded, as far as llama.cpp told."""

    path: str
    description: str  # "llama 135M Q4_1"
    sha256: str
    context: int  # tokens
    kv_cache: str  # "q8_0/q8_0", K before V
    gpu_layers: int  # really offloaded
    layers: int
    gpu_in_build: bool  # whether llama.cpp was compiled for a GPU
    fake: bool = False

    @property
    def label(self) -> str:
        """How results name the model."""
        name = self.path.rsplit("/", 1)[-1]
        return f"{name} ({self.sha256[:12]})" if self.sha256 else name


OnText = Callable[[str], None]


class Model(Protocol):
    """A model that can be asked. Every method raises `EngineError` where the engine fails."""

    @property
    def info(self) -> ModelInfo:
        """What is loaded; raises `ModelUnavailable` while nothing is."""

    async def render(self, messages: tuple[Message, ...]) -> Rendered:
        """The exact prompt for these messages, and its length in tokens."""

    async def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        """Answer the request; `on_text` gets the text as it grows."""
