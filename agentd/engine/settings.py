"""The `models` section of the config: which model, and how it is held in memory."""

from pathlib import Path
from typing import Literal

from pydantic import Field, StrictInt, field_validator

from agentd.config import Duration, Section, Size, parse_path

STARTER = "starter"
FAKE = "fake"

# What llama.cpp takes for its cache, by the names it uses itself (common/arg.cpp, kv_cache_types).
KvType = Literal["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


class KvCache(Section):
    """Types of the key and value cache."""

    k: KvType = Field("q8_0", description="Type of the keys; q8_0 has the quality of f16 in half the memory.")
    v: KvType = Field("q8_0", description="Type of the values.")

    def __str__(self) -> str:
        return f"{self.k}/{self.v}"


class ModelSettings(Section):
    """One model of the config."""

    path: str = Field(
        STARTER,
        description="A GGUF file; `starter` for the small model of agentd[starter]; `fake` for a scripted one "
        "that needs no weights.",
    )
    context: StrictInt | Literal["auto"] = Field(
        "auto",
        description="Tokens of context; `auto` takes what the model was trained with, up to 8192.",
    )
    gpu_layers: StrictInt | Literal["auto", "all"] = Field(
        "auto",
        description="Layers to put on the GPU; `auto` and `all` take every layer where the build has a GPU.",
    )
    kv_cache: KvCache = Field(KvCache(), description="Types of the KV cache, `k` and `v` apart.")
    threads: StrictInt | Literal["auto"] = Field("auto", description="CPU threads; `auto` is one a physical core.")
    memory: Size | Literal["auto"] = Field(
        "auto",
        description="Resident memory past which the child is replaced; `auto` is twice the file plus 4GiB.",
    )
    stall: Duration = Field(
        120.0,
        description="The child is replaced when it makes no progress for so long.",
        json_schema_extra={"default": "2m"},
    )

    @field_validator("path")
    @classmethod
    def _expand(cls, value: str) -> str:
        return value if value in (STARTER, FAKE) else str(parse_path(value))

    @field_validator("context", "threads", "stall")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and value <= 0:
            raise ValueError(f"{value:g} is not a positive number")
        return value

    @field_validator("gpu_layers")
    @classmethod
    def _not_negative(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{value} is less than 0")
        return value

    @property
    def file(self) -> Path | None:
        """The GGUF file that was named; None for `starter` and `fake`."""
        return None if self.path in (STARTER, FAKE) else Path(self.path)
