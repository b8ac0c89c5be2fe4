"""Changes as a state machine: planned, made, undone, by a daemon that dies, while the owner edits the files.

Beside the real files stands a model of them, in which a change is a line of code. After every step both must be
the same, byte for byte, with nothing hidden in between.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from agentd.actions import files
from agentd.actions.effects import Effects
from agentd.actions.frontmatter import set_keys
from agentd.errors import ChangeError, Superseded
from agentd.records import ChangeState, Plan
from agentd.store import changes
from agentd.store.changes import MOVING
from agentd.store.database import Store
from tests.actions.conftest import Home, tags
from tests.actions.dying import Died, Steps

T = TypeVar("T")
KINDS = ["frontmatter", "sidecar", "append", "move", "rename", "copy"]
WORDS = ["Peas", "Beans"]
DEATHS = st.one_of(st.none(), st.tuples(st.integers(1, 30), st.booleans()))
# What the machine met in all its runs: without each of these it would not have tested much.
MET: Counter[str] = Counter()


@dataclass
class Wish:
    """A change of the model."""

    plan: Plan
    path: Path  # of the note that it is about; front matter, and what is only planned, follows it
    fits: set[bytes]  # what the note may be, for the change to be made
    place: Path = Path()  # of the file that it made, moved or wrote
    before: bytes | None = None
    after: bytes = b""


class Life(RuleBasedStateMachine):
    """Notes, a target, and a journal."""

    planned: Bundle[int] = Bundle("planned")
    applied: Bundle[int] = Bundle("applied")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._store = Store(Path(self._folder.name) / "agentd.db")
        self.home = Home(Path(self._folder.name), self._store)
        self.files: dict[Path, bytes] = {}
        self.wishes: dict[int, Wish] = {}
        self.counter = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def write(self, word: str) -> Path:
        """The owner writes a note."""
        self.counter += 1
        path = self.home.write(f"{word} {self.counter}.md", f"# {word} {self.counter}\n")
        self.files[path] = path.read_bytes()
        return path

    @rule(target=applied, data=st.data(), kind=st.sampled_from(KINDS), word=st.sampled_from(WORDS), death=DEATHS)
    def make(self, data: st.DataObject, kind: str, word: str, death: tuple[int, bool] | None) -> Any:
        """Plan it, and make it at once."""
        return self.apply(self.plan(data, kind, word), death)

    @rule(target=planned, data=st.data(), kind=st.sampled_from(KINDS), word=st.sampled_from(WORDS))
    def plan(self, data: st.DataObject, kind: str, word: str) -> int:
        notes = [path for path in self.files if path.suffix == ".md" and path.name != "log.md"]
        note = data.draw(st.sampled_from([None, *sorted(notes)])) or self.write(word)
        self.counter += 1
        to = {
            "sidecar": note.with_suffix(".txt"),
            "append": self.home.target / "log.md",
            "rename": note.with_name(f"{word}.md"),
            "move": self.home.target / f"{word}.md",
            "copy": self.home.target / "copies" / f"{word}.md",
        }
        made = tags(note, word.lower(), str(self.counter))
        if kind != "frontmatter":
            details = {"to": str(to[kind]), "text": f"{word} {self.counter}\n", "on_conflict": "rename"}
            made = Plan(kind, str(note), details)
        (change_id,) = self.do(self.home.plan(note, made, occasion=str(self.counter)))
        for wish in self.wishes.values():
            if wish.path == note and not wish.after:
                wish.fits = set()  # a newer result takes its place
        self.wishes[change_id] = Wish(made, note, {self.files[note]})
        return change_id

    @rule(target=applied, change_id=consumes(planned), death=DEATHS)
    def apply(self, change_id: int, death: tuple[int, bool] | None) -> Any:
        wish = self.wishes[change_id]
        possible = self.can_apply(wish)
        died = self.carry_out(self.home.effects.apply(change_id), death)
        state = self.state(change_id)
        if state is ChangeState.APPLIED:
            assert possible
            self.apply_to_model(wish)
            MET[f"{wish.plan.kind} applied"] += 1
            MET["applied after a death"] += died
            return change_id
        assert died or not possible, (wish, state)
        MET["not applied"] += not died
        wish.fits = set()
        return multiple()

    @rule(change_id=consumes(applied), death=DEATHS)
    def undo(self, change_id: int, death: tuple[int, bool] | None) -> None:
        wish = self.wishes[change_id]
        possible = self.can_undo(wish)
        died = self.carry_out(self.home.effects.undo(change_id), death)
        if self.state(change_id) is ChangeState.UNDONE:
            assert possible
            self.undo_in_model(wish)
            MET[f"{wish.plan.kind} undone"] += 1
            MET["undone after a death"] += died
        else:
            assert self.state(change_id) is ChangeState.APPLIED
            assert died or not possible
            MET["not undone"] += not died

    @rule(data=st.data(), how=st.sampled_from(["edited", "saved anew", "deleted"]))
    def interfere(self, data: st.DataObject, how: str) -> None:
        """The owner does something to a file, whoever made it."""
        if not self.files:
            return
        path = data.draw(st.sampled_from(sorted(self.files)))
        MET[how] += 1
        if how != "edited":
            path.unlink()
        if how == "deleted":
            del self.files[path]
            return
        self.files[path] += b"Mine.\n"
        path.write_bytes(self.files[path])

    def can_apply(self, wish: Wish) -> bool:
        """Whether it is to be made, as things are."""
        kind = wish.plan.kind
        if kind == "append" or not wish.fits:
            return bool(wish.fits)
        if kind != "sidecar":
            return self.files.get(wish.path) in wish.fits
        there = self.files.get(self.to(wish))
        own = [
            one
            for one in self.wishes.values()
            if (one.plan.kind, one.path, one.place) == ("sidecar", wish.path, self.to(wish))
        ]
        return there is None or any(there in (one.after, one.before) for one in own)

    def can_undo(self, wish: Wish) -> bool:
        there = self.files.get(wish.place)
        if wish.plan.kind in MOVING:
            own = there is not None and self.do(
                self._store.read(changes.is_own, str(wish.place), files.digest(there))
            )
            return bool(own) and wish.path not in self.files
        return there in (wish.after, wish.before)

    def to(self, wish: Wish) -> Path:
        """Where a change goes: what is beside its note goes with that."""
        path = Path(wish.plan.details["to"])
        if wish.plan.kind == "sidecar":
            return wish.path.with_suffix(".txt")
        return wish.path.with_name(path.name) if wish.plan.kind == "rename" else path

    def free(self, wanted: Path) -> Path:
        names = [wanted, *(wanted.with_name(f"{wanted.stem} {number}{wanted.suffix}") for number in range(2, 99))]
        return next(path for path in names if path not in self.files)

    def apply_to_model(self, wish: Wish) -> None:
        kind, details = wish.plan.kind, wish.plan.details
        raw = self.files.get(wish.path, b"")
        match kind:
            case "frontmatter":
                wish.place, wish.before, wish.after = wish.path, raw, set_keys(raw, details["set"], "")
            case "move" | "rename" | "copy":
                wish.place, wish.after = self.free(self.to(wish)), raw
            case _:
                wish.place = self.to(wish)
                wish.before = self.files.get(wish.place)
                old = (wish.before or b"") if kind == "append" else b""
                gap = b"" if not old or old.endswith(b"\n") else b"\n"
                wish.after = old + gap + details["text"].encode()
        self.files[wish.place] = wish.after
        for other in self.wishes.values():
            if other.path == wish.place and wish.before in other.fits:
                other.fits.add(wish.after)
        if kind in MOVING:
            del self.files[wish.path]
            self.follow(wish.path, wish.place)

    def undo_in_model(self, wish: Wish) -> None:
        there = self.files.pop(wish.place, None)
        if wish.plan.kind in MOVING:
            assert there is not None
            self.files[wish.path] = there
            self.follow(wish.place, wish.path)
        elif wish.before is not None:
            self.files[wish.place] = wish.before

    def follow(self, old: Path, new: Path) -> None:
        """What is planned for a file, and its front matter, goes with it."""
        for wish in self.wishes.values():
            if wish.path == old and (wish.plan.kind == "frontmatter" or not wish.after):
                wish.path = new
                wish.place = new if wish.after else wish.place

    def state(self, change_id: int) -> ChangeState:
        return self.do(self._store.read(changes.get, change_id)).state

    def carry_out(self, work: Coroutine[Any, Any, object], death: tuple[int, bool] | None) -> bool:
        """Do it, perhaps with a death at one of its steps, and then as the next daemon would; whether it died."""
        died = False
        with pytest.MonkeyPatch.context() as patch:
            if death is not None:
                Steps(patch, death[0], done=death[1])
            try:
                self.do(work)
            except Died:
                died = True
            except (ChangeError, Superseded):
                pass
        self.home.effects = Effects(self._store, self.home.settings, [self.home.notes, self.home.target])
        self.do(self.home.effects.recover())
        return died

    @invariant()
    def the_files_are_those_of_the_model(self) -> None:
        found = [
            file for root in (self.home.notes, self.home.target) for file in root.rglob("*") if file.is_file()
        ]
        assert {file: file.read_bytes() for file in found} == self.files

    @invariant()
    def nothing_is_left_half_done(self) -> None:
        assert self.do(self._store.read(changes.begun, KINDS)) == []

    def teardown(self) -> None:
        self._store.close()
        self._loop.close()
        self._folder.cleanup()


def test_the_files_are_those_of_the_model_whatever_happens_to_them() -> None:
    bounds = settings(max_examples=30, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(Life, settings=bounds)  # type: ignore[no-untyped-call]
    assert set(MET) >= {*(f"{kind} applied" for kind in KINDS), "applied after a death"}
