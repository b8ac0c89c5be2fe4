"""The tuner's process from its start to its end, for the daemon or a command: frames as they come.

One tuner runs in a folder of models at a time. What it makes there on its way is gone with it, but for the copy of
the weights that it chose. What it is asked to measure, and what becomes of its choice, is not known here.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

from agentd.engine.settings import ModelSettings
from agentd.errors import AgentdError, AlreadyRunning, EngineCrashed, ModelUnavailable
from agentd.frames import BrokenFrame, Frame, encode, read_frame
from agentd.model import Request

WEIGHTS = "weights"  # where engine children look for converted copies
_LOCK = "tune.lock"
_WORK = "tuning"


async def tune(
    settings: ModelSettings, requests: Sequence[Request], texts: Sequence[str], folder: Path
) -> AsyncGenerator[Frame, None]:
    """Progress, and at last the outcome, as `tuner` tells them; closing the iterator ends the search.

    Raises `AlreadyRunning` while another tuner is at work, `ModelUnavailable` where the model cannot be measured,
    and `EngineCrashed` where the tuner dies.
    """
    with _alone_in(folder) as work:
        _link_copies(folder / WEIGHTS, work)
        first = {
            "settings": settings.model_dump(mode="json"),
            "folder": str(work),
            "requests": [dataclasses.asdict(request) for request in requests],
            "texts": list(texts),
        }
        async with contextlib.aclosing(_frames(first)) as frames:
            async for frame in frames:
                if frame["type"] == "done":
                    choice = frame["choice"]
                    keep_copies(folder, choice["sha256"], settings, choice["weights"], work)
                yield frame


def keep_copies(
    folder: Path, sha256: str, settings: ModelSettings, weights: str = "", made: Path | None = None
) -> None:
    """Of a model's converted copies, keep those in the type `weights`, which may lie in `made`, and no other.

    What the config demands is nobody's choice, and stays.
    """
    ours, chosen = f"{sha256[:16]}-", f"{sha256[:16]}-{weights}-"  # as `repack` names them
    kept = folder / WEIGHTS
    for file in made.iterdir() if made else ():
        if file.name.startswith(chosen):
            kept.mkdir(exist_ok=True)
            file.replace(kept / file.name)
    for file in kept.iterdir() if kept.is_dir() and settings.repack == "auto" else ():
        if file.name.startswith(ours) and not file.name.startswith(chosen):
            file.unlink()


async def _frames(first: Frame) -> AsyncGenerator[Frame, None]:
    """The frames of a process that gets this one first."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "agentd.engine.tuner", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal is for whoever waits here, and decides when the search ends.
                start_new_session=True,
            )
        except BaseException:
            writer.close()
            raise
    try:
        writer.write(encode(first))
        ended = False
        while not ended and (frame := await read_frame(reader)) is not None:
            if frame["type"] == "failed":
                raise AgentdError.from_wire(frame["error"])
            ended = frame["type"] == "done"
            yield frame
        if not ended:
            code = await process.wait()
            how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            raise EngineCrashed(f"the process that measures the model {how}")
    except BrokenFrame as broken:
        raise EngineCrashed(f"the process that measures the model sent {broken}") from broken
    finally:
        writer.transport.abort()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[Path]:
    """A folder to work in, which is empty and gone afterwards."""
    work = folder / _WORK
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / _LOCK).open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)  # of one that was killed
            work.mkdir()
        except BlockingIOError:
            raise AlreadyRunning("another `agentd model tune` is at work here: let it end first") from None
        except OSError as broken:
            raise ModelUnavailable(f"cannot work in {folder}: {broken}", hint=f"ls -ld '{folder}'") from broken
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        yield work


def _link_copies(source: Path, target: Path) -> None:
    """Let copies that were made before be found where the tuner looks."""
    for ending in (".gguf", ".json"):
        for file in source.glob(f"*{ending}"):
            os.link(file, target / file.name)
