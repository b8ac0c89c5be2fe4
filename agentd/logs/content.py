"""The text of a file on disk, compressed or not, and whether it is the one that a mark speaks of.

Nothing but regular files is opened. Lines, names and rotation are not known here.
"""

import bz2
import contextlib
import grp
import gzip
import importlib
import io
import lzma
import os
import shlex
import stat
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from agentd.errors import AgentdError, NotAFile, Unreadable, Vanished
from agentd.records import Mark

Identity = tuple[int, int]  # device and inode

FINGERPRINT_BYTES = 1024  # so much of a file's beginning tells it from another with the same inode

_BLOCK = 1024 * 1024
_CHECKS = {".gz": "gzip -t", ".bz2": "bzip2 -t", ".xz": "xz -t", ".zst": "zstd -t"}
PACKED = tuple(_CHECKS)  # endings of the names of compressed files


class _Stream(Protocol):
    """What uncompresses."""

    def read1(self, size: int, /) -> bytes: ...


class Content:
    """An open file as text that can be read anywhere. Reading raises OSError or AgentdError."""

    def __init__(self, file: BinaryIO) -> None:
        self.consumed = 0  # bytes of the file on disk that the last read came to
        self._file = file

    def status(self) -> os.stat_result:
        """Size, times and identity of the file as it is now, even if its name is gone."""
        return os.fstat(self._file.fileno())

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        data = os.pread(self._file.fileno(), size, offset)
        self.consumed = offset + len(data)
        return data

    def end(self) -> int:
        """Where the text ends, in bytes."""
        return self.status().st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PackedContent(Content):
    """A compressed file: offsets are of the text, and going back costs reading it anew."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file)
        self._path = path
        self._unpack, self._damages = _unpacker(path)
        self._stream = self._unpack(file)
        self._position = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes; what comes before a damage can be read."""
        if offset < self._position:
            self._file.seek(0)
            self._stream, self._position = self._unpack(self._file), 0
        while self._position < offset:
            if not self._read(min(offset - self._position, _BLOCK)):
                return b""
        pieces: list[bytes] = []
        while size:
            try:
                piece = self._read(size)
            except AgentdError:
                if pieces:
                    break
                raise
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def end(self) -> int:
        """Where the text ends: for gzip as its last bytes tell (modulo 4 GiB), else by reading it."""
        if self._path.suffix == ".gz":
            size = self.status().st_size
            return int.from_bytes(os.pread(self._file.fileno(), 4, max(size - 4, 0)), "little")
        while self._read(_BLOCK):
            pass
        return self._position

    def _read(self, size: int) -> bytes:
        try:
            data = self._stream.read1(size)
        except self._damages as damage:
            raise Unreadable(
                f"{self._path} is damaged, or is still being written: {damage}",
                hint=f"{_CHECKS[self._path.suffix]} {shlex.quote(str(self._path))}",
            ) from damage
        self._position += len(data)
        self.consumed = self._file.tell()
        return data


def open_content(path: Path) -> Content:
    """The text of a regular file.

    Raises NotAFile, Vanished, Unreadable (whose hint grants the right where that is known), or AgentdError where
    nothing is installed that can uncompress it.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAFile(f"{path} is not a regular file", hint=f"ls -ld {shlex.quote(str(path))}")
        # It may have become a pipe since: opening that must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as broken:
        raise cannot_read(path, broken) from broken
    file = cast(BinaryIO, io.FileIO(descriptor))
    if path.suffix not in PACKED:
        return Content(file)
    try:
        return PackedContent(file, path)
    except AgentdError:
        file.close()
        raise


def cannot_read(path: Path, broken: OSError) -> AgentdError:
    """The error that says so, with the command that mends or explains it."""
    if isinstance(broken, FileNotFoundError):
        return Vanished(f"{path} is gone")
    hint = f"ls -ld {shlex.quote(str(path))}"
    if isinstance(broken, PermissionError) and _is_for_group(path, "adm"):
        hint = "sudo usermod -aG adm $USER, then log in again"
    return Unreadable(f"cannot read {path}: {broken.strerror}", hint=hint)


def identity_of(status: os.stat_result) -> Identity:
    """What tells a file from every other that exists at the same time."""
    return status.st_dev, status.st_ino


def status_of(path: Path) -> os.stat_result | None:
    """What a look at the disk tells; None where there is nothing to be seen."""
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def mark_at(content: Content, mark: Mark, offset: int) -> Mark:
    """`mark` as if the first `offset` bytes were read."""
    return replace(mark, offset=offset, crc=zlib.crc32(content.read_at(0, min(offset, FINGERPRINT_BYTES))))


def is_read_by(content: Content, mark: Mark) -> bool:
    """Whether the bytes that a mark counts are there, as far as its fingerprint tells."""
    length = min(mark.offset, FINGERPRINT_BYTES)
    beginning = content.read_at(0, length)
    if len(beginning) < length or zlib.crc32(beginning) != mark.crc:
        return False
    return content.end() == mark.offset or not mark.offset or bool(content.read_at(mark.offset - 1, 1))


def begin_alike(one: Content, other: Content, size: int) -> bool:
    """Whether two files have the same first `size` bytes, or as many as `one` has."""
    position = 0
    while position < size:
        piece = one.read_at(position, min(_BLOCK, size - position))
        if not piece:
            break
        if other.read_at(position, len(piece)) != piece:
            return False
        position += len(piece)
    return True


def _is_for_group(path: Path, group: str) -> bool:
    """Whether this group may read what this user may not; looks at the folder where the file is hidden."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError, KeyError):
            status = place.stat()
            return bool(status.st_mode & stat.S_IRGRP) and grp.getgrgid(status.st_gid).gr_name == group
    return False


def _unpacker(path: Path) -> tuple[Callable[[BinaryIO], _Stream], tuple[type[Exception], ...]]:
    """What uncompresses such a file, and what it raises where that is damaged."""
    match path.suffix:
        case ".gz":
            return (lambda file: gzip.GzipFile(fileobj=file, mode="rb")), (EOFError, OSError, zlib.error)
        case ".bz2":
            return bz2.BZ2File, (EOFError, OSError)
        case ".xz":
            return lzma.LZMAFile, (EOFError, OSError, lzma.LZMAError)
    for name in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            zstd = importlib.import_module(name)
            return zstd.ZstdFile, (EOFError, OSError, zstd.ZstdError)
    with contextlib.suppress(ImportError):
        zstandard = importlib.import_module("zstandard")
        unpack = zstandard.ZstdDecompressor().stream_reader
        return partial(unpack, read_across_frames=True, closefd=False), (OSError, zstandard.ZstdError)
    raise Unreadable(f"{path} is compressed with zstd, which needs a library", hint="pip install zstandard")
