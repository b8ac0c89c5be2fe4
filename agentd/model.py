"""The seam between those who ask a model and the engine that runs it: what is asked, what comes back.

A task run or an ask gets a `Model`; which engine, process or machine stands behind it is not known here.
"""

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from agentd.records import Priority

# Two keywords that schemas know beside JSON Schema. A string may be bound to the words of a text, in their order:
WORDS_OF = "x-words-of"
# … and a list of choices (`items: {enum}`) to the order of these, each at most once.
IN_ORDER = "x-in-order"
# The numbers of an embedding, as numpy names them: 16 bits are enough to compare by.
VECTOR_TYPE = "<f2"


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
    seconds: float = 300.0  # of work and of waiting for others in the batch; not of waiting for its turn
    priority: Priority = Priority.TRIGGERED
    shared: int = 0  # how many of the first messages other requests begin with as well: computed once, kept
    decide: tuple[str, ...] = ()  # properties of the schema, each an enum, that are chosen by score
    empty: tuple[Message, ...] = ()  # the same prompt about an empty input: what scores are calibrated by

    def to_wire(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "messages": [asdict(message) for message in self.messages],
            "empty": [asdict(message) for message in self.empty],
            "shared": self.shared,
            "decide": list(self.decide),
            "schema": self.schema,
            "max_tokens": self.max_tokens,
            "seconds": self.seconds,
            "priority": int(self.priority),
        }


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
    tokens_cached: int  # of tokens_in, how many were in the KV cache already
    tokens_out: int
    seconds: float  # from its first step to its last
    engine_seconds: float = 0.0  # its share of the steps it took part in
    # By property of `decide`, the probability of each choice.
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Texts as vectors: the closer two point in one direction, the more alike the texts are."""

    # Of each text its numbers as VECTOR_TYPE, together of length 1; empty for a text that points nowhere.
    vectors: tuple[bytes, ...]
    tokens: int  # of all texts

    def to_wire(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"vectors": [base64.b64encode(one).decode() for one in self.vectors], "tokens": self.tokens}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Embeddings":
        """Rebuild what `to_wire` made."""
        return cls(tuple(base64.b64decode(one) for one in wire["vectors"]), wire["tokens"])


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What a loaded model takes of one device, in bytes, as llama.cpp reported it."""

    device: str  # llama.cpp's name of it: CPU, CUDA0, Metal …
    weights: int
    kv_cache: int
    compute: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is really loaded, as far as llama.cpp told."""

    path: str  # of the file that the user chose
    description: str  # "llama 135M Q4_1"
    sha256: str  # of that file
    context: int  # tokens that one request may take, prompt and answer
    kv_cache: str  # "q8_0/q8_0", K before V
    gpu_layers: int  # really offloaded
    layers: int
    gpu_in_build: bool  # whether llama.cpp was compiled for a GPU
    cells: int = 0  # tokens that the KV cache holds, over all requests
    parallel: int = 1  # requests that are worked on at the same time
    memory: tuple[DeviceMemory, ...] = ()
    weights: str = ""  # which weights run, and why, where it is not the file as it is
    notes: tuple[str, ...] = ()  # what had to be made smaller to fit, and why
    fake: bool = False
    vector: int = 0  # numbers of an embedding; 0 for a model that writes text

    @property
    def label(self) -> str:
        """How results name the model."""
        name = self.path.rsplit("/", 1)[-1]
        return f"{name} ({self.sha256[:12]})" if self.sha256 else name


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine is doing, told about once a second while it works."""

    running: int = 0  # requests in the batch
    paused: int = 0  # of those, how many stand aside for a more urgent one
    waiting: int = 0  # requests that do not fit yet
    threads: int = 0
    cells_used: int = 0
    prefixes: int = 0  # kept, of how many tasks
    evicted: int = 0  # prefixes that had to go since the start
    tokens_a_second: float = 0.0  # evaluated, over the last steps
    step_seconds: float = 0.0  # the longest of the last steps
    busy_seconds: float = 0.0  # of work since the start
    decode_seconds: float = 0.0  # of those, inside llama.cpp


OnText = Callable[[str], None]


class Model(Protocol):
    """A model that can be asked. Every method raises `EngineError` where the engine fails."""

    @property
    def info(self) -> ModelInfo:
        """What is loaded; raises `ModelUnavailable` while nothing is."""

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        """The exact prompt for these messages, and its length in tokens."""

    async def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where the schema cannot be compiled."""

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        """Answer the request; `on_text` gets the text as it grows.

        What `decide` names is scored first, over all its choices, and stands in the answer with the others.
        """
