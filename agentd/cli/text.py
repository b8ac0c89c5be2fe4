"""Words for people: paths, times and results in a line.

Imports next to nothing: commands that must start fast use it too.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from agentd.records import folder_of, is_bundle, source_of


class Style(TypedDict, total=False):
    """What click's `style` takes."""

    fg: str
    bold: bool
    dim: bool


# How a job's state is coloured.
STYLES: dict[str, Style] = {
    "done": {"fg": "green"},
    "running": {"fg": "cyan"},
    "queued": {"fg": "blue"},
    "failed": {"fg": "red"},
    "quarantined": {"fg": "red", "bold": True},
    "cancelled": {"fg": "yellow"},
    # … and a change's.
    "planned": {"fg": "blue"},
    "applying": {"fg": "cyan"},
    "applied": {"fg": "green"},
    "undoing": {"fg": "cyan"},
    "undone": {"fg": "yellow"},
    "refused": {"fg": "yellow"},
    "superseded": {"fg": "yellow"},
    # … and a backfill's.
    "listing": {"fg": "cyan"},
    "paused": {"fg": "yellow"},
}


def printable(text: str) -> str:
    """Text for a terminal: what a file name or a model says cannot move the cursor or change colours."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text.encode("utf-8", "backslashreplace").decode()
    )


def absolute_source(path: str) -> str:
    """A path as it was typed, as the daemon takes it: absolute, and sendable whatever bytes its name has."""
    return source_of(Path(os.path.abspath(path)))  # noqa: PTH100 - resolves `..` without following links


def short_source(source: str) -> str:
    """A path from the home folder on, where it lies there; of several files, their folder and a mark."""
    if is_bundle(source):
        return f"{short_source(str(folder_of(source)))}/ (files {source[-12:]})"
    home = f"{Path.home()}/"
    return f"~/{source.removeprefix(home)}" if source.startswith(home) else source


def output_line(
    output: dict[str, Any], probabilities: dict[str, dict[str, float]], most: int | None = None
) -> str:
    """A result's output in one line, of at most so many characters: its values, lists joined.

    What was chosen by score is told with its probability.
    """
    parts = []
    for name, value in output.items():
        said = _said(value)
        weights = probabilities.get(name, {})
        likely = f" ({percent(weights[said])})" if said in weights else ""
        parts.append(f"{name}: {said}{likely}")
    line = " · ".join(parts)
    return line if most is None or len(line) <= most else f"{line[: most - 1]}…"


def likelihoods(result: Any) -> dict[str, dict[str, float]]:
    """Of a `ResultShape`, the probabilities of what was chosen by score alone."""
    return {name: shares for name, shares in result["probabilities"].items() if name not in result["why"]}


def _said(value: Any) -> str:
    """A value in a few words: of something that was found in the document what it comes to, without its quote."""
    match value:
        case None:
            return "none"
        case list():
            return ", ".join(map(_said, value)) or "none"
        case {"value": found, "quote": _}:
            return f"{found} {value['currency']}" if "currency" in value else str(found)
        case dict():
            return "; ".join(
                _said(inner) for name, inner in value.items() if name not in ("quote", "where", "line")
            )
    return str(value)


def percent(share: float) -> str:
    """A share of one for people; never rounded to all or nothing where it is neither."""
    shown = round(share * 100)
    if shown in (0, 100) and share not in (0, 1):
        return "> 99 %" if shown else "< 1 %"
    return f"{shown} %"


def size_text(size: int) -> str:
    """Bytes for people: `90 MiB`, `3.4 GiB`."""
    mebibytes = size / 1024**2
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def loaded_text(model: Any) -> str:
    """What of a model is in memory: a `ModelShape` that is loaded, in a line."""
    layers = f"{model['gpu_layers']} of {model['layers']} layers on a GPU"
    if model["vector"]:
        told = f"embeddings of {model['vector']:,} numbers, {model['context']:,} tokens at a time"
        return f"{model['description']}, {told}, {layers}"
    return f"{model['description']}, context {model['context']:,}, KV cache {model['kv_cache']}, {layers}"


def held_text(name: str, model: Any) -> str:
    """What it means that a person took a model out of memory: a `ModelShape`, in a line."""
    then = "notes are tagged without it" if model["use"] == "embeddings" else "its jobs wait"
    return f"{then}: agentd model load {name}"


def way_text(model: Any) -> str:
    """Why a model left memory to others: a `ModelShape` that gave way, in a line."""
    return f"gave way to {model['gave_way_to']}; it comes back when the GPU is free"


def memory_text(device: Any) -> str:
    """What a loaded model takes of one device: a `DeviceMemoryShape`, in a line."""
    parts = (("weights", "weights"), ("KV cache", "kv_cache"), ("compute", "compute"))
    taken = ", ".join(f"{word} {size_text(device[key])}" for word, key in parts if device[key])
    return f"{device['device']}: {taken}"


def coverage_text(coverage: Any) -> str:
    """How much of an input was seen: a `CoverageShape`, in a line."""
    tokens = f", {coverage['tokens']:,} tokens in parts" if coverage["tokens"] else ""
    return f"{coverage['seen']:,}/{coverage['total']:,} {coverage['unit']}{tokens}"


def why_text(value: Any) -> str:
    """What spoke for a value that was chosen by evidence, or against one that was not, in a line."""
    words, notes, model = value["words"], value["notes"], value["model"]
    told = []
    if words["found"]:
        told.append(f"its words {', '.join(words['found'])} (+{words['nats']:g})")
    if notes["tagged"]:
        like = ", ".join(short_source(source) for source in notes["similar"])
        told.append(f"{notes['tagged']:,} notes have it ({notes['nats']:+g}{'; like ' + like if like else ''})")
    near = value.get("embeddings")
    if near and near["nats"]:
        like = ", ".join(short_source(source) for source in near["similar"])
        told.append(f"by meaning ({near['nats']:+g}{'; like ' + like if like else ''})")
    if model["nats"]:
        told.append(f"the model ({model['nats']:+g})")
    lead = value["value"] if value["chosen"] else f"not {value['value']}"
    return f"{lead} {value['nats']:+g}: {'; '.join(told) or 'nothing speaks for it'}"


def cite(source: str, place: str) -> str:
    """Where a quote stands: `notes/a.md:12`, `report.pdf, page 3`."""
    if is_bundle(source):
        name, _, place = place.partition(", ")
        source = f"{folder_of(source)}/{name}"
    if not place:
        return short_source(source)
    kind, _, number = place.rpartition(" ")
    return f"{short_source(source)}:{number}" if kind == "line" else f"{short_source(source)}, {place}"


def local_time(stamp: str) -> str:
    """A stored time in the user's zone."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_text(seconds: float) -> str:
    """A duration for people: `4 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
