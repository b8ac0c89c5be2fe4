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
    room = MAX_CHARACTERS
    for file in files:
        document = file.document
        if document is not None and len(document.text) <= room:
            room -= len(document.text)
            parts.add(file.name, f"## {file.name}")
            parts.add_content(file.name, Content(document.text, document.places))
            if document.unread:
                unread.append(f"{file.name}: {'; '.join(document.unread)}")
        else:
            unread.append(f"{file.name}: {file.problem or 'there is too much text before it'}")
    joined = parts.content("files")
    return Document(
        source=source,
        content=content,
        text=joined.text,
        kind="bundle",
        places=joined.places,
        unit=joined.unit,
        units=len(files),
        unread=tuple(unread),
        passages=tuple(split_passages(joined.text, 1)),
    )
