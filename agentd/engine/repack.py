"""Converted copies of a model's weights, in a type that llama.cpp evaluates faster on this CPU.

    python -P -m agentd.engine.repack SOURCE TARGET KIND

does the conversion, in a process of its own: the quantizer crashes on damaged files. It prints `DONE ALL` for each
tensor, its last line on stderr says why it failed, and it ends when its stdin closes. `converted` runs it and
keeps what it made. Whether a copy pays, and whether its answers are as good, is measured elsewhere.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentd.engine.llama.build import build_identity
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.llama.quantize import quantize, quantized_size
from agentd.engine.threads import usable_cores
from agentd.errors import AgentdError, ModelUnavailable

SPARE_BYTES = 256 * 1024**2  # of the disk, left to everybody else
COPY = ".gguf"
ORIGIN = ".json"
UNFINISHED = ".unfinished"

OnProgress = Callable[[float], None]  # the share that is done, 0 to 1


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a copy was made from: written beside it when it was complete."""

    source: str
    sha256: str
    kind: str
    build: str
    bytes: int  # of the copy


def converted(source: Path, sha256: str, kind: str, folder: Path, on_progress: OnProgress | None = None) -> Path:
    """The copy of `source` in the type `kind` (q8_0 or q4_0), made now where there is none.

    Its content depends on nothing but the sha256, the kind and the llama.cpp build. Copies of models that are gone
    or have changed are deleted. Waits for another process that converts in the same folder. Raises
    `ModelUnavailable` where the disk is too small, the file damaged or the copy not loadable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            build = build_identity()
            target = folder / f"{sha256[:16]}-{kind}-{build}{COPY}"
            _delete_outdated(folder, source, sha256, build)
            if not _is_complete(target):
                _make(source, target, kind, on_progress or (lambda _share: None))
                origin = _Origin(str(source), sha256, kind, build, target.stat().st_size)
                _write_origin(target.with_suffix(ORIGIN), origin)
            return target
    except OSError as broken:
        raise ModelUnavailable(f"cannot keep a copy of {source} in {folder}: {broken.strerror}") from broken


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(source: Path, target: Path, kind: str, on_progress: OnProgress) -> None:
    unfinished = target.with_suffix(UNFINISHED)
    command = [sys.executable, "-P", "-m", "agentd.engine.repack", str(source), str(unfinished), kind]
    try:
        with (
            tempfile.TemporaryFile("w+", errors="replace") as errors,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as maker,
        ):
            assert maker.stdout is not None
            for line in maker.stdout:
                done, of = map(int, line.split())
                on_progress(done / of)
            status = maker.wait()
            errors.seek(0)
            said = errors.read().splitlines()
        if status < 0:
            raise ModelUnavailable(
                f"llama.cpp's quantizer crashed on {source} ({signal.Signals(-status).name}): is it damaged?"
            )
        if status > 0:
            raise ModelUnavailable(said[-1] if said else f"converting {source} ended with status {status}")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_complete(copy: Path) -> bool:
    origin = _read_origin(copy.with_suffix(ORIGIN))
    return origin is not None and copy.is_file() and copy.stat().st_size == origin.bytes


def _delete_outdated(folder: Path, source: Path, sha256: str, build: str) -> None:
    """Delete what killed processes left, and copies that nobody will ask for again."""
    for unfinished in folder.glob(f"*{UNFINISHED}"):
        unfinished.unlink()
    for copy in folder.glob(f"*{COPY}"):
        origin = _read_origin(copy.with_suffix(ORIGIN))
        if (
            origin is None
            or not Path(origin.source).exists()
            or origin.build != build
            or (origin.source == str(source) and origin.sha256 != sha256)
        ):
            copy.unlink()
            copy.with_suffix(ORIGIN).unlink(missing_ok=True)


def _read_origin(file: Path) -> _Origin | None:
    try:
        return _Origin(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write_origin(file: Path, origin: _Origin) -> None:
    unfinished = file.with_suffix(UNFINISHED)
    unfinished.write_text(json.dumps(asdict(origin)))
    unfinished.replace(file)


def _convert(source: Path, target: Path, kind: str) -> None:
    needed = quantized_size(source, kind)
    free = shutil.disk_usage(target.parent).free
    if needed + SPARE_BYTES > free:
        raise ModelUnavailable(
            f"a {kind} copy of {source} takes {needed / 1e6:,.0f} MB and {SPARE_BYTES / 1e6:,.0f} MB are to stay "
            f"free, but {target.parent} has {free / 1e6:,.0f} MB",
            hint=f"df -h '{target.parent}'",
        )
    # Progress is read through a pipe, so each line is flushed.
    quantize(source, target, kind, usable_cores(), lambda done, of: print(done, of, flush=True))  # noqa: T201
    try:
        LlamaModel(target, LogTail(), gpu_layers=0).close()
    except ModelUnavailable as broken:
        raise ModelUnavailable(f"the {kind} copy of {source} is of no use: {broken.message}") from broken
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _end_with_stdin() -> None:
    """End the process with the one that started it, even inside llama.cpp."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def main() -> None:
    """Convert what the three arguments name."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    source, target, kind = sys.argv[1:]
    try:
        _convert(Path(source), Path(target), kind)
    except AgentdError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
