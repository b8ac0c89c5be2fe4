"""What smaller weights or a smaller cache cost: how well texts are predicted, which choices come out otherwise.

Pure: numbers in, a verdict out. Both are compared with the reference, the weights that the user chose with a cache
of f16, on the same texts and the same prompts. Choices are compared by their probabilities, not by answers that
were written: where two are as likely as each other, which of them is written depends on the sizes of the steps.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentd.model import Request

MOST_PERPLEXITY = 1.01  # as a ratio to the reference's
LEAST_AGREEMENT = 0.95  # of the choices
# Rounding alone moves the log-probabilities of two labels by up to a quarter against each other, and each score is
# the difference of two: one for the input and one for an empty one.
TIE = 0.5
MOST_LABELS = 16  # of a choice; to score more would take longer than it is worth

# By the number of a request and the name of a property, how likely each label is.
Choices = Mapping[tuple[int, str], Mapping[str, float]]


def why_worse(perplexity: float) -> str:
    """Why a setting is refused by its perplexity, as a ratio to the reference's; empty where it is not."""
    return f"perplexity {perplexity - 1:+.1%}".replace("%", " %") if perplexity > MOST_PERPLEXITY else ""


def why_different(equal: int, of: int) -> str:
    """Why a setting is refused by its choices; empty where it is not, or where there are none to compare."""
    return f"only {equal} of {of} choices equal" if equal < LEAST_AGREEMENT * of else ""


def only_choices(request: Request) -> Request | None:
    """A request for nothing but the choices of another, each of them by score; None where it has none.

    What is chosen several of is asked for the best one.
    """
    closed = {}
    for name, value in ((request.schema or {}).get("properties") or {}).items():
        labels = value.get("enum") or value.get("items", {}).get("enum") or ()
        if 1 < len(labels) <= MOST_LABELS:
            closed[name] = {"enum": list(labels)}
    if not closed:
        return None
    last = replace(request.messages[-1], content="")
    schema: dict[str, Any] = {
        "type": "object",
        "properties": closed,
        "required": list(closed),
        "additionalProperties": False,
    }
    return replace(request, schema=schema, decide=tuple(closed), empty=(*request.messages[:-1], last))


def compare_choices(reference: Choices, others: Choices) -> tuple[int, int]:
    """How many choices are the reference's, and how many it made; one that is as good to the reference counts."""
    equal = sum(place in others and _is_alike(made, others[place]) for place, made in reference.items())
    return equal, len(reference)


def _is_alike(reference: Mapping[str, float], other: Mapping[str, float]) -> bool:
    best, chosen = max(reference.values()), reference[max(other, key=lambda label: other[label])]
    return chosen > 0 and math.log(best / chosen) <= TIE
