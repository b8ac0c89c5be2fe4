"""Saved prefixes: what the KV cache holds of a prompt's beginning, kept over a restart, one file each.

llama.cpp aborts on some states that are damaged and believes the others, so a file carries a header and a
checksum of our own, and nothing of it is handed out before all of it was verified. What stands in a state, and
when one is worth saving, is not known here. Prompts are private: the folder is for this user alone.
"""

import array
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import stat
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("agentd.engine")

MAX_BYTES = 512 * 1024**2  # over all files
MAX_FILES = 64
SUFFIX = ".prefix"
UNFINISHED = ".unfinished"

# magic, length of the header, length of the state; then the header, the state, and a sha256 over all of these.
_START = struct.Struct("<16sIQ")
_MAGIC = b"agentd prefix 1\n"
_CHECKSUM_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Identity:
    """What a state depends on besides its tokens: of another identity, the same bytes mean something else."""

    model_sha256: str  # of the weights that run, which may be a converted copy
    build: str  # of llama.cpp: it owns the layout
    kv_k: str
    kv_v: str
    cells: int  # of the whole cache: some models choose their rotary factors by its size


class PrefixFolder:
    """The saved prefixes of one identity, in a folder that others may share.

    Nothing is raised for a disk that fails or a file that is damaged: it is logged once, and the prefix is
    computed again. `save` may run on another thread than `load`; least recently used files go first.
    """

    def __init__(
        self, folder: Path, identity: Identity, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._told: set[str] = set()  # what was logged about; a name stays until its file is good again
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._remove_unfinished()
        except OSError as broken:
            self._tell(folder.name, f"prefixes cannot be kept in {folder}: {broken.strerror}")

    def load(self, tokens: Sequence[int]) -> bytes | None:
        """The state that was saved for exactly these tokens; None where there is none that can be trusted."""
        header = self._header(tokens)
        path = self._path(header)
        try:
            return _read(path, header, self._max_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as broken:
            reason = broken.strerror or str(broken)
        except _Unusable as unusable:
            reason = str(unusable)
        self._tell(path.name, f"the saved prefix {path} is ignored: {reason}")
        return None

    def save(self, tokens: Sequence[int], state: bytes) -> None:
        """Keep a state for these tokens, in place of whatever has its name; older ones go to make room."""
        header = self._header(tokens)
        path = self._path(header)
        size = _size(header, state)
        if size > self._max_bytes:
            self._tell(path.name, f"a prefix of {size:,} bytes is not saved: {self._max_bytes:,} may be")
            return
        try:
            self._make_room(path, size)
            self._write(path, header, state)
        except OSError as broken:
            self._tell(self._folder.name, f"prefixes cannot be saved in {self._folder}: {broken.strerror}")
        else:
            self._told -= {path.name, self._folder.name}

    def _header(self, tokens: Sequence[int]) -> bytes:
        """All that a file must say about itself; a file that says anything else is another's."""
        return json.dumps(
            {
                **dataclasses.asdict(self._identity),
                "tokens": len(tokens),
                "tokens_sha256": hashlib.sha256(array.array("i", tokens)).hexdigest(),
            }
        ).encode()

    def _path(self, header: bytes) -> Path:
        return self._folder / (hashlib.sha256(header).hexdigest()[:32] + SUFFIX)

    def _write(self, path: Path, header: bytes, state: bytes) -> None:
        with tempfile.NamedTemporaryFile(suffix=UNFINISHED, dir=self._folder, delete=False) as file:  # 0600
            unfinished = Path(file.name)
            try:
                # Says that the writer lives, however it ends.
                fcntl.flock(file, fcntl.LOCK_EX)
                checksum = hashlib.sha256()
                for part in (_START.pack(_MAGIC, len(header), len(state)), header, state):
                    checksum.update(part)
                    file.write(part)
                file.write(checksum.digest())
                file.flush()
                os.fsync(file.fileno())
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()  # only an empty one: what somebody put here is not ours to delete
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise

    def _make_room(self, path: Path, size: int) -> None:
        """Delete the least recently used until a file of `size` bytes fits."""
        kept = sorted(self._others(path))
        total = sum(entry[1] for entry in kept)
        while kept and (total + size > self._max_bytes or len(kept) >= self._max_files):
            _, gone, oldest = kept.pop(0)
            oldest.unlink(missing_ok=True)
            total -= gone

    def _others(self, path: Path) -> Iterator[tuple[int, int, Path]]:
        """When each other file was last used, its size, and where it is."""
        for other in self._folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process makes room as well
                found = other.lstat()
                if other != path and not stat.S_ISDIR(found.st_mode):
                    yield found.st_mtime_ns, found.st_size, other

    def _remove_unfinished(self) -> None:
        """Delete what killed writers left; the file of a writer that lives is locked."""
        for left in self._folder.glob(f"*{UNFINISHED}"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()

    def _tell(self, name: str, message: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning(message)


class _Unusable(Exception):
    """Why a file is not what it should be."""


def _size(header: bytes, state: bytes) -> int:
    return _START.size + len(header) + len(state) + _CHECKSUM_BYTES


def _read(path: Path, header: bytes, max_bytes: int) -> bytes:
    """The verified state of a file, which is marked as used; raises `OSError` and `_Unusable`."""
    # pathlib's open takes no opener. A link could lead anywhere; opening a pipe would wait for its writer.
    with open(path, "rb", opener=_open_in_place) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _Unusable("it is not a file")
        if found.st_size > max_bytes:
            raise _Unusable(f"it has {found.st_size:,} bytes, more than the {max_bytes:,} of all files")
        content = file.read()
        state = _verify(content, header)
        os.utime(file.fileno())
        return state


def _open_in_place(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _verify(content: bytes, header: bytes) -> bytes:
    if len(content) < _START.size + _CHECKSUM_BYTES:
        raise _Unusable(f"it ends after {len(content)} bytes")
    magic, header_length, state_length = _START.unpack_from(content)
    if magic != _MAGIC:
        raise _Unusable("it does not begin as one")
    checked = memoryview(content)[:-_CHECKSUM_BYTES]
    if len(checked) != _START.size + header_length + state_length:
        raise _Unusable("its length is not what it says")
    if hashlib.sha256(checked).digest() != content[-_CHECKSUM_BYTES:]:
        raise _Unusable("its checksum is wrong")
    if checked[_START.size : _START.size + header_length] != header:
        raise _Unusable("it was made for another model, llama.cpp, KV cache or text")
    return bytes(checked[_START.size + header_length :])
