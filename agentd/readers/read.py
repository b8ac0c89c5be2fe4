"""Read one file into a `Document`, or say by name why it cannot be one.

What a file is, its content decides, not its name alone: a picture called `.md` is refused. The bytes are read
once, from a descriptor that was checked, and hashed as they were read. Only plain text and Markdown are known;
both are small, so they are read in this process.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path

from agentd.errors import (
    BadEncoding,
    EmptyInput,
    InputError,
    NotAFile,
    NotText,
    TooLarge,
    Unreadable,
    Vanished,
)
from agentd.readers.markdown import split_front_matter
from agentd.readers.passages import split_passages
from agentd.records import Document, source_of

MAX_BYTES = 20 * 1024**2
MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown"})

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"GGUF": "a GGUF model",
}


def read_file(path: Path, max_bytes: int = MAX_BYTES) -> Document:
    """The document at `path`; raises a kind of `InputError` that names what is wrong with it."""
    return to_document(_read_bytes(path, max_bytes), source_of(path), markdown=_is_markdown(path))


def to_document(raw: bytes, source: str, *, markdown: bool) -> Document:
    """The document in `raw`; raises `EmptyInput`, `NotText`, `BadEncoding` or `UnclosedFrontMatter`."""
    text = _decode(raw, source)
    if not text.strip():
        raise EmptyInput(f"{source} is empty")
    front_matter, body, first_line = split_front_matter(text, source) if markdown else ("", text, 1)
    if not body.strip():
        raise EmptyInput(f"{source} has front matter and no text")
    return Document(
        source=source,
        content=hashlib.sha256(raw).hexdigest(),
        text=body,
        kind="markdown" if markdown else "text",
        first_line=first_line,
        front_matter=front_matter,
        passages=tuple(split_passages(body, first_line)),
    )


def content_of(path: Path) -> str:
    """The sha256 of a file as it is now; raises as `read_file` does for what cannot be read."""
    return hashlib.sha256(_read_bytes(path, MAX_BYTES)).hexdigest()


def _is_markdown(path: Path) -> bool:
    return path.suffix.lower() in MARKDOWN_SUFFIXES


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as broken:
        raise _explain(broken, path) from broken
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile(f"{path} is not a regular file", hint=f"ls -ld '{path}'")
        if found.st_size > max_bytes:
            raise TooLarge(f"{path} has {found.st_size:,} bytes, the limit is {max_bytes:,}")
        try:
            # One byte more than allowed: the file may grow while it is read.
            raw = file.read(max_bytes + 1)
        except OSError as broken:
            raise _explain(broken, path) from broken
    if len(raw) > max_bytes:
        raise TooLarge(f"{path} grew past the limit of {max_bytes:,} bytes while it was read")
    return raw


def _explain(broken: OSError, path: Path) -> InputError:
    match broken.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return Vanished(f"there is no file {path}", hint=f"ls '{path.parent}'")
        case errno.ELOOP:
            return NotAFile(f"{path} is a symbolic link, which is not followed", hint=f"readlink -f '{path}'")
        case errno.ENXIO:
            return NotAFile(f"{path} is a socket", hint=f"ls -ld '{path}'")
        case errno.ENAMETOOLONG | errno.EINVAL:
            return NotAFile(f"{path} is not a usable path: {broken.strerror}")
    return Unreadable(f"cannot open {path}: {broken.strerror}", hint=f"ls -l '{path}'")


def _decode(raw: bytes, source: str) -> str:
    for bom, encoding in _BOMS.items():
        if raw.startswith(bom):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError as broken:
                raise BadEncoding(f"{source} begins like {encoding} and is not: {broken.reason}") from broken
    for signature, kind in _SIGNATURES.items():
        if raw.startswith(signature):
            raise NotText(f"{source} is not text: it looks like {kind}", hint=f"file '{source}'")
    if b"\0" in raw:
        raise NotText(f"{source} is not text: it has NUL bytes", hint=f"file '{source}'")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = raw.count(b"\n", 0, broken.start) + 1
        raise BadEncoding(
            f"{source} is not valid UTF-8: byte 0x{raw[broken.start]:02x} in line {line}",
            hint=f"iconv -f latin1 -t utf-8 '{source}' -o '{source}.utf8'",
        ) from broken
