"""Processes that end at one step of an effect, before or after it is done."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from agentd.actions import swap, webhook
from agentd.records import Plan
from agentd.store.database import Store
from tests.actions.conftest import Home, tags

# Every call by which an effect touches the disk, and by which it is journalled.
STEPS: list[tuple[Any, str]] = [
    *((os, name) for name in ("open", "mkdir", "fchmod", "fchown", "utime", "fsync", "unlink", "replace", "link")),
    *((os, name) for name in ("setxattr", "removexattr") if hasattr(os, name)),
    (swap, "_call"),
    (Store, "_write"),
]
KINDS = ("frontmatter", "sidecar", "append", "rename", "move", "elsewhere", "copy", "webhook")


class Died(BaseException):
    """The process was killed here."""


def die() -> NoReturn:
    """End, as far as the code under test can tell."""
    raise Died


def kill_me() -> None:
    """End at once, and with everything in memory."""
    os.kill(os.getpid(), signal.SIGKILL)


class Steps:
    """Counts the steps of what is done, and lets it end at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, *, done: bool, end: Callable[[], object] = die) -> None:
        self.names: list[str] = []
        self._at, self._done, self._end = at, done, end
        for owner, name in STEPS:
            patch.setattr(owner, name, self._counted(name, getattr(owner, name)))

    def _counted(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            self.names.append(name)
            here = len(self.names) == self._at
            if here and not self._done:
                self._end()
            try:
                return real(*args, **kwargs)
            finally:
                if here:
                    self._end()

        return step


def make_home(base: Path, store: Store, elsewhere: Path, port: int) -> Home:
    """A home in a folder, with a target on another file system and a hook."""
    return Home(
        base,
        store,
        targets={"archive": str(base / "target"), "elsewhere": str(elsewhere)},
        webhooks={"hook": {"url": f"http://127.0.0.1:{port}/"}},
    )


def plan_of(kind: str, home: Home, note: Path, elsewhere: Path) -> Plan:
    """A change of each kind."""
    targets = {
        "rename": note.with_name("b.md"),
        "move": home.target / "in" / "b.md",
        "copy": home.target / "in" / "b.md",
        "elsewhere": elsewhere / "b.md",
    }
    match kind:
        case "frontmatter":
            return tags(note, "garden")
        case "sidecar":
            return Plan(kind, str(note), {"to": str(note.with_name("a.agentd.md")), "text": "Peas.\n"})
        case "append":
            return Plan(kind, str(note), {"to": str(home.target / "log.md"), "text": "- Peas\n"})
        case "webhook":
            return Plan(kind, str(note), {"to": "hook"})
    wanted = {"to": str(targets[kind]), "on_conflict": "fail"}
    return Plan("move" if kind == "elsewhere" else kind, str(note), wanted)


def act(base: str, elsewhere: str, port: int, kind: str, what: str, at: int, done: bool) -> None:
    """Plan a change, make it and perhaps take it back, and be killed at a step of the last of these."""

    async def do() -> None:
        store = Store(Path(base) / "agentd.db")
        home = make_home(Path(base), store, Path(elsewhere), port)
        note = home.write("a.md", "# Peas\n")
        os.utime(note, ns=(10**18, 10**18))
        (change_id,) = await home.plan(note, plan_of(kind, home, note, Path(elsewhere)))
        if what == "undo":
            await home.effects.apply(change_id)
        patch = pytest.MonkeyPatch()
        real = webhook._status
        steps = Steps(patch, at, done=done, end=kill_me)
        patch.setattr(webhook, "_status", steps._counted("post", real))
        await getattr(home.effects, what)(change_id)
        patch.undo()
        (Path(base) / "steps").write_text(" ".join(steps.names))
        store.close()

    asyncio.run(do())
