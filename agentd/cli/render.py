"""Tables, JSON and times for people. Whatever comes from files or models is made printable first."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentd.cli.main import printable

COLOURS = {
    "done": "green",
    "running": "cyan",
    "queued": "blue",
    "failed": "red",
    "quarantined": "bold red",
    "cancelled": "yellow",
}
PIPE_WIDTH = 100_000  # columns: nothing is cut or folded for a program that reads a table


def notes() -> Console:
    """Where notes and progress go: standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """Data as indented JSON on standard output. What a terminal would obey stands there as an escape."""
    text = json.dumps(data, indent=2, ensure_ascii=not _is_utf8())
    shown = (letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)
    click.echo("".join(shown))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """A table on standard output; one whole line a row where that is not a terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    # A long cell would pad every other row to its length.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(text: str, style: str = "") -> Text:
    """Text that means nothing to the terminal or to rich."""
    return Text(printable(text).replace("\n", "↵"), style=style)


def state_text(state: str) -> Text:
    """A job's state in its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def short_source(source: str) -> str:
    """A path from the home folder on, where it lies there."""
    home = f"{Path.home()}/"
    return f"~/{source.removeprefix(home)}" if source.startswith(home) else source


def output_line(output: dict[str, Any]) -> str:
    """A result's output in one line: its values, lists joined."""
    parts = []
    for name, value in output.items():
        said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name}: {said}")
    return " · ".join(parts)


def local_time(stamp: str) -> str:
    """A stored time in the user's zone."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_text(seconds: float) -> str:
    """A duration for people: `4 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
