"""Read one file into a `Document`, or say by name why it cannot be one.

The file is opened once, from a descriptor that was checked, hashed, and read from that same descriptor. Plain
text and Markdown that are small are read in this process; everything else in a child that has limits.
"""

import contextlib
import errno
import hashlib
import io
import os
import shlex
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from agentd.errors import (
    EmptyInput,
    InputError,
    NotAFile,
    NotText,
    TooLarge,
    UnclosedFrontMatter,
    Unreadable,
    Vanished,
)
from agentd.readers.children import Children
from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.readers.kinds import Kind, sniff, sniff_unnamed
from agentd.readers.markdown import split_front_matter
from agentd.readers.passages import split_passages
from agentd.records import Document, source_of, stdin_source

MAX_BYTES = 20 * 1024**2
MAX_SNIFFED = 2**62  # a look at the first bytes needs no limit
SMALL_BYTES = 1024**2  # of text that is read in this process
_NOTHING = hashlib.sha256(b"").hexdigest()
_PLAIN = ("markdown", "text")
_STDIN = "stdin"


class Reader:
    """Reads files of every kind. `close` ends the children it may have started."""

    def __init__(self, children: Children | None = None) -> None:
        self._children = children or Children()

    def read(self, path: Path, max_bytes: int = MAX_BYTES) -> Document:
        """The document at `path`; raises a kind of `InputError` that names what is wrong with it."""
        with _open(path, max_bytes) as file:
            digest = _digest(file, path, max_bytes)
            if digest == _NOTHING:
                raise EmptyInput(f"{path} is empty")
            file.seek(0)
            kind = sniff(file, str(path))
            if kind in _PLAIN and os.fstat(file.fileno()).st_size <= SMALL_BYTES:
                content = Content(decode(file.read(), source_of(path)))
            else:
                content = self._children.read(kind, file, str(path))
        return to_document(content, digest, source_of(path), kind)

    def read_stdin(self, raw: bytes) -> Document:
        """The document that came through standard input, of the kind that its content says; raises as `read`."""
        digest = hashlib.sha256(raw).hexdigest()
        kind = sniff_unnamed(raw, _STDIN)
        if kind in _PLAIN and len(raw) <= SMALL_BYTES:
            content = Content(decode(raw, _STDIN))
        else:
            with tempfile.TemporaryFile() as file:
                file.write(raw)
                file.seek(0)
                content = self._children.read(kind, file, _STDIN)
        return replace(to_document(content, digest, _STDIN, kind), source=stdin_source(digest))

    def close(self) -> None:
        """End what reading has started."""
        self._children.close()


def sniff_file(path: Path) -> Kind:
    """What a file is by its first bytes and its name; raises a kind of `InputError`."""
    with _open(path, MAX_SNIFFED) as file:
        return sniff(file, str(path))


def read_small(path: Path) -> Document:
    """The document at `path` if it is small Markdown or plain text; raises a kind of `InputError`."""
    with _open(path, SMALL_BYTES) as file:
        raw = file.read(SMALL_BYTES + 1)
        file.seek(0)
        kind = sniff(file, str(path))
    if kind not in _PLAIN:
        raise NotText(f"{path} is neither Markdown nor plain text")
    return to_document(
        Content(decode(raw, source_of(path))), hashlib.sha256(raw).hexdigest(), source_of(path), kind
    )


def to_document(content: Content, digest: str, source: str, kind: str) -> Document:
    """The document of what was read; raises `EmptyInput` or `UnclosedFrontMatter`."""
    if not content.text.strip():
        raise EmptyInput(f"{source} is empty")
    front_matter, body, first_line = "", content.text, 1
    if kind == "markdown":
        front_matter, body, first_line = split_front_matter(content.text, source)
    elif kind == "text":
        with contextlib.suppress(UnclosedFrontMatter):  # a stream of YAML, say
            front_matter, body, first_line = split_front_matter(content.text, source)
    if not body.strip():
        raise EmptyInput(f"{source} has front matter and no text")
    return Document(
        source=source,
        content=digest,
        text=body,
        kind=kind,
        first_line=first_line,
        front_matter=front_matter,
        places=content.places,
        unit=content.unit,
        units=content.units,
        starts=content.starts,
        unread=content.unread,
        passages=tuple(split_passages(body, first_line)),
    )


def read_text(raw: bytes, source: str, kind: str = "markdown") -> Document:
    """The document in a text that stands in no file of its own; raises as `to_document`, and as `decode` does."""
    sniff(io.BytesIO(raw), source)
    return to_document(Content(decode(raw, source)), hashlib.sha256(raw).hexdigest(), source, kind)


def content_of(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The sha256 of a file as it is now; raises as `Reader.read` does for what cannot be opened."""
    with _open(path, max_bytes) as file:
        return _digest(file, path, max_bytes)


def _open(path: Path, max_bytes: int) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as broken:
        raise _explain(broken, path) from broken
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)  # Python itself opens no folder as a file
        if stat.S_ISDIR(found.st_mode):
            raise NotAFile(f"{path} is a folder, not a file", hint=_run("agentd backfill TASK", path))
        raise NotAFile(f"{path} is not a regular file", hint=_run("ls -ld", path))
    if found.st_size > max_bytes:
        os.close(descriptor)
        raise TooLarge(f"{path} has {found.st_size:,} bytes, the limit is {max_bytes:,}")
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, which the caller closes


def _digest(file: BinaryIO, path: Path, max_bytes: int) -> str:
    """The sha256 of an open file; raises where it grew past the limit meanwhile."""
    digest, total = hashlib.sha256(), 0
    try:
        while block := file.read(1 << 20):
            digest.update(block)
            total += len(block)
            if total > max_bytes:
                raise TooLarge(f"{path} grew past the limit of {max_bytes:,} bytes while it was read")
    except OSError as broken:
        raise _explain(broken, path) from broken
    return digest.hexdigest()


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


def _run(command: str, source: Path | str) -> str:
    return f"{command} {shlex.quote(str(source))}"
