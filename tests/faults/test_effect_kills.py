"""Fault 2: a process is killed at each step of a change to a file, or of a message to a webhook.

Expected outcome: the next process takes the change up; it is finished or was never begun, nothing is done twice
and nothing is left lying about; a message that is sent again has the same id.
"""

import http.server
import multiprocessing
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.records import ChangeState
from agentd.store import changes
from agentd.store.database import Store
from tests.actions.dying import KINDS, act, make_home

NOTE = b"# Peas\n"
# The files after a change of each kind: in the notes, in the target, elsewhere.
MADE: dict[str, tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]] = {
    "frontmatter": ({"a.md": b"---\ntags:\n  - garden\n---\n# Peas\n"}, {}, {}),
    "sidecar": ({"a.md": NOTE, "a.agentd.md": b"Peas.\n"}, {}, {}),
    "append": ({"a.md": NOTE}, {"log.md": b"- Peas\n"}, {}),
    "rename": ({"b.md": NOTE}, {}, {}),
    "move": ({}, {"in/b.md": NOTE}, {}),
    "elsewhere": ({}, {}, {"b.md": NOTE}),
    "copy": ({"a.md": NOTE}, {"in/b.md": NOTE}, {}),
    "webhook": ({"a.md": NOTE}, {}, {}),
}
BEFORE: tuple[dict[str, bytes], ...] = ({"a.md": NOTE}, {}, {})
# What each is known to do; a test that misses these would not test much.
NEEDED = {
    "frontmatter": {"_write", "open", "fchmod", "fsync", "_call", "unlink"},
    "sidecar": {"_write", "open", "fsync", "_call"},
    "append": {"_write", "open", "fsync", "_call"},
    "rename": {"_write", "open", "fsync", "_call"},
    "move": {"_write", "open", "mkdir", "fsync", "_call"},
    "elsewhere": {"_write", "open", "fchmod", "utime", "fsync", "_call", "unlink"},
    "copy": {"_write", "open", "mkdir", "fchmod", "utime", "fsync", "_call"},
    "webhook": {"_write", "post"},
}
UNDOABLE = [kind for kind in KINDS if kind != "webhook"]
CASES = [*((kind, "apply") for kind in KINDS), *((kind, "undo") for kind in UNDOABLE)]

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.actions.dying"])


@pytest.fixture(scope="module")
def hook() -> Iterator[tuple[int, list[str]]]:
    """A port, and the ids of what was posted there."""
    told: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append(str(self.headers["webhook-id"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, told
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system, where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def found(*roots: Path) -> tuple[dict[str, bytes], ...]:
    """All files below some folders, hidden ones too."""
    return tuple(
        {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in roots
    )


class Killed:
    """Changes that are killed at a step, and then taken up by the next process."""

    def __init__(self, tmp_path: Path, elsewhere: Path, hook: tuple[int, list[str]], kind: str, what: str) -> None:
        self._base, self._elsewhere, self._hook = tmp_path, elsewhere, hook
        self._kind, self._what = kind, what

    async def at(self, step: int, *, done: bool) -> bool:
        """Kill at a step, recover and compare; False where there are not so many steps."""
        port, told = self._hook
        name = f"{step}-{done}"
        base, elsewhere = self._base / name, self._elsewhere / name
        base.mkdir()
        elsewhere.mkdir()
        told.clear()
        arguments = (str(base), str(elsewhere), port, self._kind, self._what, step, done)
        process = processes.Process(target=act, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        await self._take_up(base, elsewhere, killed=process.exitcode != 0)
        return process.exitcode != 0

    def steps(self) -> list[str]:
        """The steps of a change that came to its end."""
        (file,) = self._base.glob("*/steps")
        return file.read_text().split()

    async def _take_up(self, base: Path, elsewhere: Path, *, killed: bool) -> None:
        port, told = self._hook
        store = Store(base / "agentd.db")
        home = make_home(base, store, elsewhere, port)
        try:
            await home.effects.recover()
            state = (await store.read(changes.get, 1)).state
            assert await store.read(changes.begun, (self._kind, "move")) == []
        finally:
            store.close()
        made = state is ChangeState.APPLIED
        assert state in (ChangeState.PLANNED, ChangeState.APPLIED, ChangeState.UNDONE)
        assert killed or made == (self._what == "apply")
        assert found(home.notes, home.target, elsewhere) == (MADE[self._kind] if made else BEFORE)
        assert len(set(told)) <= 1  # one id, however often
        assert made or self._kind != "webhook" or not told
        assert not made or self._kind != "webhook" or 1 <= len(told) <= 2
        for file in (home.notes / "a.md", home.notes / "b.md", elsewhere / "b.md", home.target / "in" / "b.md"):
            if file.exists() and file.read_bytes() == NOTE:
                assert file.stat().st_mtime_ns == 10**18


@pytest.mark.parametrize(("kind", "what"), CASES)
async def test_a_kill_at_some_steps_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, elsewhere: Path, hook: tuple[int, list[str]], kind: str, what: str
) -> None:
    killed = Killed(tmp_path, elsewhere, hook, kind, what)
    assert not await killed.at(0, done=False)
    steps = killed.steps()
    assert what == "undo" or set(steps) >= NEEDED[kind]
    for step in random.sample(range(1, len(steps) + 1), 3):
        assert await killed.at(step, done=random.random() < 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "what"), CASES)
@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
async def test_a_kill_at_any_step_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, elsewhere: Path, hook: tuple[int, list[str]], kind: str, what: str, done: bool
) -> None:
    killed = Killed(tmp_path, elsewhere, hook, kind, what)
    step = 1
    while await killed.at(step, done=done):
        step += 1
    assert step - 1 == len(killed.steps()) > 2
    assert "_write" in killed.steps()
