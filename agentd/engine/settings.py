"""The `models` section of the config: which model, and how it is held in memory."""

from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field, StrictInt, field_validator, model_validator

from agentd.config import Duration, Section, Size, parse_path

STARTER = "starter"
FAKE = "fake"

EMBEDDINGS = "embeddings"
# What only a model that writes text has: an embedding is made anew of each piece, and nothing of it is kept.
_OF_TEXT = ("parallel", "kv_cache", "repack")

# What llama.cpp takes for its cache, by the names it uses itself (common/arg.cpp, kv_cache_types).
KvType = Literal["auto", "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]

# Types that llama.cpp rearranges for a CPU at load, so that a copy in one of them may be faster than the file.
RepackType = Literal["q8_0", "q4_0"]


class KvCache(Section):
    """Types of the key and value cache."""

    k: KvType = Field(
        "auto",
        description="Type of the keys; `auto` is what `agentd model tune` chose, or else q8_0: the quality of f16 "
        "in half the memory.",
    )
    v: KvType = Field("auto", description="Type of the values; `auto` as for the keys.")

    def __str__(self) -> str:
        return f"{self.k}/{self.v}"


class ModelSettings(Section):
    """One model of the config."""

    # A child gets it as JSON, and `yield` cannot be the name of a field in Python.
    model_config = ConfigDict(serialize_by_alias=True)

    path: str = Field(
        STARTER,
        description="A GGUF file; `starter` for the small model of agentd[starter]; `fake` for a scripted one "
        "that needs no weights.",
    )
    use: Literal["text", "embeddings"] = Field(
        "text",
        description="What the model is for: `text` for tasks and questions, `embeddings` to find the tagged notes "
        "that mean the same as a new one. One model may be for embeddings; it does no tasks.",
    )
    context: StrictInt | Literal["auto"] = Field(
        "auto",
        description="Tokens that one request may take, prompt and answer; `auto` takes what the model was trained "
        "with, up to 8192, as far as the memory goes. For embeddings, the tokens that are read as one piece, up "
        "to 512; longer notes are read in several.",
    )
    parallel: StrictInt | Literal["auto"] = Field(
        "auto",
        description="Requests that are worked on at the same time; `auto` is what `agentd model tune` chose, or "
        "else 8, as far as the memory goes.",
    )
    gpu_layers: StrictInt | Literal["auto", "all"] = Field(
        "auto",
        description="Layers to put on the GPU; `auto` takes as many as fit into its free memory, `all` every one.",
    )
    kv_cache: KvCache = Field(KvCache(), description="Types of the KV cache, `k` and `v` apart.")
    threads: StrictInt | Literal["auto"] = Field(
        "auto",
        description="CPU threads; `auto` starts with one a physical core, or what `agentd model tune` chose, and "
        "gives way to other processes.",
    )
    keep_alive: Duration | Literal["forever"] = Field(
        "forever",
        description="How long the model stays in memory without work; it is loaded again on demand.",
    )
    repack: Literal["auto", "off"] | RepackType = Field(
        "auto",
        description="Run a converted copy of the weights, made once in the data folder: `auto` where "
        "`agentd model tune` measured that it pays at the same quality, `off` never, or the type to convert to.",
    )
    memory: Size | Literal["auto"] = Field(
        "auto",
        description="Resident memory past which the child is replaced; `auto` is twice the weights plus 4GiB.",
    )
    stall: Duration = Field(
        120.0,
        description="The child is replaced when it makes no progress for so long.",
        json_schema_extra={"default": "2m"},
    )

    yields: Literal["gpu", "never"] = Field(
        "never",
        alias="yield",
        description="When the model leaves memory for others: `gpu` when another process needs the GPU, until "
        "that has been free for half a minute. Its jobs wait.",
    )

    @field_validator("path")
    @classmethod
    def _expand(cls, value: str) -> str:
        return value if value in (STARTER, FAKE) else str(parse_path(value))

    @field_validator("repack", mode="before")
    @classmethod
    def _not_a_truth(cls, value: object) -> object:
        return "off" if value is False else value  # `off` is how YAML 1.1 writes it, too

    @field_validator("context", "parallel", "threads", "keep_alive", "stall")
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

    @model_validator(mode="after")
    def _something_to_yield(self) -> Self:
        if self.yields == "gpu" and self.gpu_layers == 0:
            raise ValueError("with `gpu_layers: 0` there is nothing on the GPU to `yield`")
        return self

    @model_validator(mode="after")
    def _only_of_text(self) -> Self:
        defaults = type(self).model_fields
        for name in _OF_TEXT if self.use == EMBEDDINGS else ():
            if getattr(self, name) != defaults[name].default:
                raise ValueError(f"a model for embeddings has no `{name}`")
        return self

    @property
    def file(self) -> Path | None:
        """The GGUF file that was named; None for `starter` and `fake`."""
        return None if self.path in (STARTER, FAKE) else Path(self.path)
