"""Choosing by score: how likely is each label, whole, compared with what an empty input makes of it.

The calibration is Zhao et al. 2021, “Calibrate Before Use”, in log space: a label that the model likes whatever
it reads gains nothing by that. Where the log-probabilities come from is not known here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.errors import BadSchema


@dataclass(frozen=True, slots=True)
class Decision:
    """One property whose value is chosen by score."""

    name: str
    choices: tuple[Any, ...]
    stem: str  # the JSON up to where the choices begin to differ
    endings: tuple[str, ...]  # the rest of each, up to a character that ends it


def decision(schema: dict[str, Any], name: str) -> Decision:
    """The decision about a property of an object; raises `BadSchema` where it is no closed choice."""
    properties = schema.get("properties")
    value = properties.get(name) if isinstance(properties, dict) else None
    choices = value.get("enum") if isinstance(value, dict) else None
    if not choices or not isinstance(choices, list):
        raise BadSchema(f"`{name}` cannot be decided by score: it has no enum")
    lead = "{" + json.dumps(name, ensure_ascii=False) + ":"
    texts = [json.dumps(choice, ensure_ascii=False) for choice in choices]
    if all(isinstance(choice, str) for choice in choices):
        return Decision(name, tuple(choices), lead + '"', tuple(text[1:] for text in texts))
    return Decision(name, tuple(choices), lead, tuple(text + "," for text in texts))


def decided(schema: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The schema with the property settled, so that the answer has no choice left about it."""
    required = [*(one for one in schema.get("required", ()) if one != name), name]
    return schema | {"properties": schema["properties"] | {name: {"const": value}}, "required": required}


def log_probability(logits: NDArray[np.float32], token: int) -> float:
    """The log-probability of one token after these logits, shape (vocab,)."""
    highest = float(logits.max())
    return float(logits[token]) - highest - float(np.log(np.exp(logits - highest, dtype=np.float64).sum()))


def probabilities(scores: Sequence[float], empty: Sequence[float]) -> list[float]:
    """What each choice weighs, from its whole log-probability on the input and on the empty input; sums to 1."""
    gained = np.asarray(scores, np.float64) - np.asarray(empty, np.float64)
    weights = np.exp(gained - gained.max())
    return [float(weight) for weight in weights / weights.sum()]
