"""Tables and JSON for people. Whatever comes from files or models is made printable first."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentd.cli.text import STYLES, printable

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
    style = STYLES[state]
    return Text(state, style=f"bold {style['fg']}" if style.get("bold") else str(style["fg"]))


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
