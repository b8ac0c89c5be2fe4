"""Several files of a folder become one document, each under its name, its places below it.

What cannot be read is told with its reason and leaves the others as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentd.readers.content import Content, Parts
from agentd.readers.passages import split_passages
from agentd.records import Document

MAX_CHARACTERS = 32 * 1024**2  # of all files together


@dataclass(frozen=True, slots=True)
class Part:
    """One file: what was read, or why it could not be."""

    name: str  # below the folder
    document: Document | None
    problem: str = ""


def join(source: str, content: str, files: Sequence[Part]) -> Document:
    """The document of all files; its units are files. A file that was read in part is told among the unread."""
    parts = Parts()
    unread: list[str] = []
    for file in files:
        if file.document is None:
            unread.append(f"{file.name}: {file.problem}")
            continue
        parts.add(file.name, heading(file.name))
        _add(parts, file.name, file.document)
        if file.document.unread:
            unread.append(f"{file.name}: {'; '.join(file.document.unread)}")
    joined = parts.content("files")
    return Document(
        source=source,
        content=content,
        text=joined.text,
        kind="bundle",
        places=joined.places,
        unit=joined.unit,
        units=len(files),
        starts=joined.starts,
        unread=tuple(unread),
        passages=tuple(split_passages(joined.text, 1)),
    )


def heading(name: str) -> str:
    """The line that stands above the text of a file: it tells a model the name, and is no word of the file."""
    return f"## {name}"


def _add(parts: Parts, name: str, document: Document) -> None:
    if document.places:
        parts.add_content(name, Content(document.text, document.places), begins=False)
        return
    # Blank lines above the text go, and count all the same.
    blank = len(document.text) - len(document.text.lstrip("\n"))
    parts.add(name, document.text, "line", document.first_line + blank, begins=False)
