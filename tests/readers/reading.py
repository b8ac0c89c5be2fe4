"""Read a file of a test, and find what it says again."""

import hashlib
from pathlib import Path

from agentd.readers.read import Reader
from agentd.records import Document


def read(reader: Reader, folder: Path, name: str, raw: bytes | str) -> Document:
    """What is read from a file with these bytes."""
    file = folder / name
    file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    document = reader.read(file)
    assert document.content == hashlib.sha256(file.read_bytes()).hexdigest()
    return document


def cited(document: Document, words: str) -> str:
    """Where the words stand, as people are told."""
    at = document.text.index(words)
    return document.where(document.text.count("\n", 0, at) + 1)
