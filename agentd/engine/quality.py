"""What smaller weights or a smaller cache cost: how well texts are predicted, which choices come out otherwise.

Pure: numbers and answers in, a verdict out. Both are compared with the reference, the weights that the user chose
with a cache of f16, on the same texts and the same prompts.
"""

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

MOST_PERPLEXITY = 1.01  # as a ratio to the reference's
LEAST_AGREEMENT = 0.95  # of the choices
LEAST_ANSWERS = 12  # by fewer, nothing is judged

Schema = dict[str, Any]


def why_worse(perplexity: float) -> str:
    """Why a setting is refused by its perplexity, as a ratio to the reference's; empty where it is not."""
    return f"perplexity {perplexity - 1:+.1%}".replace("%", " %") if perplexity > MOST_PERPLEXITY else ""


def why_different(equal: int, of: int, answers: int) -> str:
    """Why a setting is refused by the choices in so many answers; empty where it is not, or has none."""
    if answers < LEAST_ANSWERS:
        return f"{answers} answers are too few to compare, {LEAST_ANSWERS} are needed"
    return f"only {equal} of {of} choices equal" if equal < LEAST_AGREEMENT * of else ""


def compare_choices(
    schemas: Sequence[Schema | None], references: Sequence[Sequence[str]], answers: Sequence[str]
) -> tuple[int, int]:
    """How many of the reference's choices stand in the answers too, and how many it made.

    The reference answers several times, in other company: a choice that rounding alone turns over is none. A
    choice is what stands where the schema has an `enum`; in a list its place does not count. All answers are JSON,
    and one that was cut, and so is none, has made no choice.
    """
    equal = total = 0
    for schema, answer, *made in zip(schemas, answers, *references, strict=True):
        if schema is not None:
            steady = functools.reduce(Counter.__and__, (_choices(schema, text) for text in made))
            equal += (steady & _choices(schema, answer)).total()
            total += steady.total()
    return equal, total


def _choices(schema: Schema, answer: str) -> Counter[tuple[str, str]]:
    """The choices that were made in an answer, each with its place."""
    try:
        return Counter(_walk(schema, json.loads(answer), ""))
    except ValueError:
        return Counter()


def _walk(schema: Schema, value: Any, place: str) -> Iterator[tuple[str, str]]:
    if "enum" in schema:
        yield place, json.dumps(value)
    elif isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _walk(inner, value[name], f"{place}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _walk(schema.get("items", {}), item, f"{place}[]")
