"""Findings as Markdown that a person would forward: what matters first, with numbers, reasons and cited lines.

What it tells is passed in, whether a log was just scanned or followed for months. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentd.logs.profile import Example
from agentd.logs.severity import SEVERITIES
from agentd.logs.times import moment
from agentd.logs.triage import Opinion

_BARS = "▁▂▃▄▅▆▇█"
_LINE_CHARACTERS = 240
_TITLE_CHARACTERS = 160
EVENTS = {
    "new": "new",
    "changed": "its words changed",
    "burst": "a burst",
    "silence": "went silent",
    "rare": "rare",
    "returned": "returned",
    "break-in": "proven",
    "seen": "",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One finding as it is told."""

    id: int
    title: str  # the pattern
    severity: str
    category: str
    event: str
    summary: str
    action: str
    period: str  # for people: from when to when
    trend: str  # see `sparkline`
    examples: tuple[Example, ...]
    opinion: Opinion | None  # of a model, if one was asked


def report(title: str, facts: Sequence[str], items: Sequence[Item], left_out: int = 0) -> str:
    """The whole report, ending with a newline. `facts` are sentences about what was read."""
    lines = [f"# {title}: {_count(items)}", "", *facts, ""]
    for number, item in enumerate(items, 1):
        lines += [*_section(number, item), ""]
    if left_out:
        more = "finding is" if left_out == 1 else "findings are"
        lines += [f"{left_out} more {more} less severe than these and not shown.", ""]
    return "\n".join(lines)


def sparkline(counts: Sequence[int]) -> str:
    """Counts as bars; a space where there was nothing, so that one entry can be told from none."""
    most = max(counts, default=0)
    return "".join(_BARS[(len(_BARS) - 1) * count // most] if count else " " for count in counts)


def _count(items: Sequence[Item]) -> str:
    if not items:
        return "nothing to report"
    by_severity = [
        f"{number} {severity}"
        for severity in reversed(SEVERITIES)
        if (number := sum(item.severity == severity for item in items))
    ]
    return ", ".join(by_severity)


def _section(number: int, item: Item) -> list[str]:
    kind = " · ".join(part for part in (item.category, EVENTS[item.event]) if part)
    lines = [f"## {number}. {item.severity.upper()} · {kind}", ""]
    if item.title:
        lines += [f"`{_cut(item.title, _TITLE_CHARACTERS)}`", ""]
    lines.append(f"- What: {item.summary}")
    if item.period:
        lines.append(f"- When: {item.period}{f'  `{item.trend}`' if item.trend else ''}")
    lines.append(f"- Do: {item.action}")
    if item.opinion:
        said = f"{item.opinion.what_happened} Likely cause: {item.opinion.likely_cause}"
        lines.append(f"- A model's guess: {said} Next step: {item.opinion.next_step}")
    for example in item.examples:
        place = f"  {example.file}, byte {example.offset:,}:"
        lines += ["", place, f"      {_cut(example.line, _LINE_CHARACTERS)}"]
    return lines


def _cut(line: str, most: int) -> str:
    line = line.replace("`", "'").replace("\n", " ↵ ")
    return line if len(line) <= most else f"{line[: most - 1]}…"


def period(first: int | None, last: int | None) -> str:
    """From when to when, in the reader's zone: `2026-05-04 03:02 – 04:10`; "" where nothing has a time."""
    if first is None or last is None:
        return ""
    began, ended = moment(first).astimezone(), moment(last).astimezone()
    if first == last:
        return f"{began:%Y-%m-%d %H:%M}"
    day = "" if began.date() == ended.date() else "%Y-%m-%d "
    return f"{began:%Y-%m-%d %H:%M} – {ended.strftime(day + '%H:%M')}"
