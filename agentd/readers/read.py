"""Read one file into a `Document`, or say by name why it cannot be one.

What a file is, its content decides, not its name alone: a picture called `.md` is refused. The bytes are read
once, from a descriptor that was checked, and hashed as they were read. Only plain text and Markdown are known;
both are small, so they are read in this process.
"""

import errno
import hashlib
import os
import shlex
import stat
from dataclasses import replace
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
from agentd.records import Document, source_of, stdin_source

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


def read_stdin(raw: bytes) -> Document:
    """The document that came through standard input; raises as `to_document` does."""
    document = to_document(raw, "stdin", markdown=True)
    return replace(document, source=stdin_source(document.content))


def content_of(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The sha256 of a file as it is now; raises as `read_file` does for what cannot be read."""
    return hashlib.sha256(_read_bytes(path, max_bytes)).hexdigest()


def _is_markdown(path: Path) -> bool:
    return path.suffix.lower() in MARKDOWN_SUFFIXES


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as broken:
        raise _explain(broken, path) from broken
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)  # Python itself opens no folder as a file
        raise NotAFile(f"{path} is not a regular file", hint=_run("ls -ld", path))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
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
            return Vanished(f"there is no file {path}", hint=_run("ls", path.parent))
        case errno.ELOOP:
            return NotAFile(
                f"{path} is a symbolic link, which is not followed", hint=_run("readlink -f", str(path))
            )
        case errno.ENXIO:
            return NotAFile(f"{path} is a socket", hint=_run("ls -ld", path))
        case errno.ENAMETOOLONG | errno.EINVAL:
            return NotAFile(f"{path} is not a usable path: {broken.strerror}")
    return Unreadable(f"cannot open {path}: {broken.strerror}", hint=_run("ls -l", path))


def _decode(raw: bytes, source: str) -> str:
    for signature, kind in _SIGNATURES.items():
        if raw.startswith(signature):
            raise NotText(f"{source} is not text: it looks like {kind}", hint=_run("file", source))
    encoding = next((encoding for bom, encoding in _BOMS.items() if raw.startswith(bom)), "utf-8")
    if encoding != "utf-16" and b"\0" in raw:
        raise NotText(f"{source} is not text: it has NUL bytes", hint=_run("file", source))
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as broken:
        if encoding == "utf-16":
            raise BadEncoding(f"{source} begins like UTF-16 and is not: {broken.reason}") from broken
        raise not_utf8(broken, source, _run("iconv -f latin1 -t utf-8", source)) from broken
    if "\0" in text:
        raise NotText(f"{source} is not text: it has NUL characters", hint=_run("file", source))
    return text


def not_utf8(broken: UnicodeDecodeError, source: str, hint: str) -> BadEncoding:
    """What is wrong with a text that cannot be decoded: which byte, in which line."""
    # `object` and not the whole input: its positions do not count a mark at the beginning.
    line = broken.object.count(b"\n", 0, broken.start) + 1
    byte = broken.object[broken.start]
    return BadEncoding(f"{source} is not valid UTF-8: byte 0x{byte:02x} in line {line}", hint=hint)


def _run(command: str, source: Path | str) -> str:
    return f"{command} {shlex.quote(str(source))}"
