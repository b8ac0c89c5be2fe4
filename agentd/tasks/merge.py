"""Put the answers about the parts of a document together, as far as that needs no model.

Lists of objects (remarks, decisions) are joined in order, lists of choices by how many parts chose them, and
choices by score by their mean log-probability. What is left is for a model to put together; sentences it then
chooses from those that the parts chose.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agentd.tasks.definition import Task
from agentd.tasks.schema import FINDS, FROM_DOCUMENT

Output = dict[str, Any]


def merged_by_code(task: Task) -> list[str]:
    """The properties of a task whose values from several parts are put together here."""
    kinds = task.asked["properties"]
    return [name for name, kind in kinds.items() if name in task.decide or name in task.evidence or _joins(kind)]


def schema_for_model(task: Task) -> dict[str, Any] | None:
    """The schema of what a model puts together; None where nothing is left for one."""
    done = merged_by_code(task)
    asked = task.asked
    kinds = {name: kind for name, kind in asked["properties"].items() if name not in done}
    if not kinds:
        return None
    required = [name for name in asked["required"] if name in kinds]
    return asked | {"properties": kinds, "required": required}


def merge(task: Task, outputs: Sequence[Output]) -> Output:
    """The values of `merged_by_code` but for those that are chosen by score or evidence, from all parts."""
    kinds = task.schema["properties"]
    merged: Output = {}
    for name, kind in kinds.items():
        if _joins(kind) and name not in task.evidence:
            found = [item for output in outputs for item in output.get(name, [])]
            merged[name] = _by_count(found, kind["maxItems"]) if "enum" in kind["items"] else _once(found)
    return merged


def merge_probabilities(
    found: Sequence[dict[str, dict[str, float]]], weights: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Of each property the geometric mean of its choices' probabilities over all parts, weighed, summing to 1."""
    if not found:
        return {}
    total = sum(weights)
    merged = {}
    for name in found[0]:
        logs = {
            choice: sum(
                weight * math.log(max(part[name][choice], 1e-9))
                for part, weight in zip(found, weights, strict=True)
            )
            for choice in found[0][name]
        }
        highest = max(logs.values())
        shares = {choice: math.exp((value - highest) / total) for choice, value in logs.items()}
        merged[name] = {choice: share / sum(shares.values()) for choice, share in shares.items()}
    return merged


def candidates(output: Any, schema: dict[str, Any]) -> list[str]:
    """What an answer quotes of a document, in order."""
    if FROM_DOCUMENT in schema or FINDS in schema:
        return [output] if isinstance(output, str) else []
    if isinstance(output, dict):
        kinds = schema.get("properties", {})
        return [one for name, value in output.items() if name in kinds for one in candidates(value, kinds[name])]
    if isinstance(output, list):
        return [one for item in output for one in candidates(item, schema["items"])]
    return []


def _joins(kind: dict[str, Any]) -> bool:
    """Whether the lists of several parts simply make one list: of objects, or of choices."""
    items = kind.get("items", {})
    return items.get("type") == "object" or ("enum" in items and FROM_DOCUMENT not in items)


def _once(items: Sequence[Any]) -> list[Any]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


def _by_count(items: Sequence[Any], most: int) -> list[Any]:
    return [item for item, _ in Counter(items).most_common(most)]
