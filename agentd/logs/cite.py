"""The lines that a finding cites, read again from where they stand.

A log that was rotated since is looked for under the names that rotation gives. Databases are not known here.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import AgentdError
from agentd.logs.content import open_content
from agentd.logs.journal_entry import SOURCE
from agentd.logs.journald import read_entry
from agentd.logs.profile import Example
from agentd.records import path_of

_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Cited:
    """A line and where it stands."""

    place: str  # "app.log.1, byte 4,711", or the journal
    line: str
    kept: bool  # it stands nowhere any more: this is what was kept of it


def cite(example: Example) -> Cited:
    """Find a cited line, where it still is."""
    if example.file.startswith(f"{SOURCE} "):
        with contextlib.suppress(AgentdError):
            entry = read_entry(example.file.partition(" ")[2])
            return Cited(SOURCE, entry, kept=False)
        return Cited(SOURCE, example.line, kept=True)
    path = path_of(example.file)
    for candidate in (path, *sorted(path.parent.glob(f"{_escaped(path.name)}?*"))):
        line = _line_at(candidate, example.offset)
        if line.startswith(example.line.partition(" | ")[0].rstrip()[:200]):
            return Cited(f"{candidate}, byte {example.offset:,}", line, kept=False)
    return Cited(f"{path}, byte {example.offset:,}", example.line, kept=True)


def _line_at(path: Path, offset: int) -> str:
    """The line that begins there; "" where nothing can be read."""
    with contextlib.suppress(AgentdError, OSError):
        content = open_content(path)
        try:
            return content.read_at(offset, _READ_BYTES).partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
        finally:
            content.close()
    return ""


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
