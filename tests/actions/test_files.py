"""Effects on files: whole at any moment, never over somebody else's file, and taken up again after a death."""

import errno
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentd.actions import files, swap
from agentd.actions.confine import Place, open_place
from agentd.errors import ChangedSince, Conflict
from tests.actions.dying import Died, Steps
from tests.actions.looks import give_colour, names, sha, state


def test_a_step_that_fails_leaves_nothing_behind(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(swap, "_call", refuse)
    with open_place([folder], folder / "b.md") as other:
        for work in (
            lambda: files.replace(note, 1, sha(b"before"), b"after"),
            lambda: files.create(other, 1, b"after"),
            lambda: files.remove(note, 1, sha(b"before")),
            lambda: files.move(note, other, 1, sha(b"before")),
            lambda: files.copy(note, other, 1, sha(b"before")),
        ):
            with pytest.raises(PermissionError):
                work()
            assert state(folder) == {"a.md": b"before"}


def test_a_file_that_changed_is_not_touched(note: Place, folder: Path) -> None:
    (folder / "a.md").write_bytes(b"mine")
    with pytest.raises(ChangedSince, match="has changed since"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert (folder / "a.md").read_bytes() == b"mine"
    assert names(folder) == ["a.md"]


@pytest.mark.parametrize("how", ["written", "renamed"])
def test_an_edit_between_the_look_and_the_exchange_wins(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    exchange = swap.exchange

    def edit_first(one: Place, other: Place) -> bool:
        monkeypatch.setattr(swap, "exchange", exchange)
        if how == "written":
            (folder / "a.md").write_bytes(b"mine")
        else:
            (folder / "b.md").write_bytes(b"mine")
            (folder / "b.md").rename(folder / "a.md")
        return exchange(one, other)

    monkeypatch.setattr(swap, "exchange", edit_first)
    with pytest.raises(ChangedSince, match="just now"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert (folder / "a.md").read_bytes() == b"mine"
    assert names(folder) == ["a.md"]


@dataclass(frozen=True)
class Roots:
    """Two folders in which effects may happen, and where one file is and another comes."""

    one: Path
    other: Path

    def perform(self, kind: str) -> None:
        with (
            open_place([self.one], self.one / "a.md") as place,
            open_place([self.other], self.other / "in" / "b.md", create=True) as target,
        ):
            match kind:
                case "replace":
                    files.replace(place, 7, sha(b"before"), b"after", 10**18)
                case "create":
                    files.create(target, 7, b"after")
                case "remove":
                    files.remove(place, 7, sha(b"before"))
                case "move":
                    files.move(place, target, 7, sha(b"before"))
                case "copy":
                    files.copy(place, target, 7, sha(b"before"))

    def state(self) -> dict[str, bytes]:
        return {**state(self.one), **state(self.other)}


ENDS = {
    "replace": {"a.md": b"after"},
    "create": {"a.md": b"before", "in/b.md": b"after"},
    "remove": {},
    "move": {"in/b.md": b"before"},
    "copy": {"a.md": b"before", "in/b.md": b"before"},
}


# What each kind cannot do without; a test that misses them would not test much.
NEEDED = {
    "replace": {"open", "fchmod", "utime", "fsync", "_call", "unlink"},
    "create": {"open", "mkdir", "fchmod", "fsync", "_call"},
    "remove": {"open", "_call", "unlink", "fsync"},
    "move": {"open", "mkdir", "_call", "fsync"},
    "copy": {"open", "mkdir", "fchmod", "utime", "fsync", "_call"},
}


def die_everywhere(kind: str, make: Callable[[str], Roots], *, in_one_step: bool, done: bool) -> set[str]:
    """Do it with a death at each of its steps in turn, and take it up again; the steps that there were."""
    at = 0
    while True:
        at += 1
        roots = make(f"{at}")
        (roots.one / "a.md").write_bytes(b"before")
        give_colour(roots.one / "a.md")
        died = False
        with pytest.MonkeyPatch.context() as patch:
            if not in_one_step:
                patch.setattr(swap, "_rename", None)
            steps = Steps(patch, at, done=done)
            try:
                roots.perform(kind)
            except Died:
                died = True
        seen = {name: raw for name, raw in roots.state().items() if not Path(name).name.startswith(".")}
        assert all(raw in (b"before", b"after") for raw in seen.values())
        assert seen or kind == "remove"
        if kind not in ("move", "remove"):
            assert "a.md" in seen
        roots.perform(kind)
        assert roots.state() == ENDS[kind]
        roots.perform(kind)
        assert roots.state() == ENDS[kind]
        if not died:
            assert at == len(steps.names) + 1
            return set(steps.names)


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("in_one_step", [True, False], ids=["renameat2", "two steps"])
def test_a_death_at_any_step_leaves_the_file_whole_and_is_taken_up_again(
    tmp_path: Path, kind: str, done: bool, in_one_step: bool
) -> None:
    def make(name: str) -> Roots:
        root = tmp_path / name
        root.mkdir()
        return Roots(root, root)

    steps = die_everywhere(kind, make, in_one_step=in_one_step, done=done)
    assert steps >= NEEDED[kind]


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("kind", ["move", "copy"])
def test_a_death_on_the_way_to_another_file_system_loses_nothing_and_doubles_nothing(
    tmp_path: Path, elsewhere: Path, kind: str, done: bool
) -> None:
    def make(name: str) -> Roots:
        roots = Roots(tmp_path / name, elsewhere / name)
        roots.one.mkdir()
        roots.other.mkdir()
        return roots

    steps = die_everywhere(kind, make, in_one_step=True, done=done)
    assert steps >= NEEDED["copy"] | ({"unlink"} if kind == "move" else set())


def test_a_new_file_never_takes_the_place_of_another(note: Place, folder: Path) -> None:
    with pytest.raises(Conflict, match="there is another file"):
        files.create(note, 1, b"after")
    assert (folder / "a.md").read_bytes() == b"before"
    assert names(folder) == ["a.md"]


def test_a_move_keeps_the_time_and_never_overwrites(note: Place, folder: Path) -> None:
    os.utime(folder / "a.md", ns=(10**18, 10**18))
    with open_place([folder], folder / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert (folder / "b.md").stat().st_mtime_ns == 10**18
    (folder / "a.md").write_bytes(b"other")
    with open_place([folder], folder / "b.md") as target, pytest.raises(Conflict):
        files.move(note, target, 2, sha(b"other"))
    assert state(folder) == {"a.md": b"other", "b.md": b"before"}


def test_a_move_to_another_file_system_is_a_copy_that_keeps_all(
    note: Place, folder: Path, elsewhere: Path
) -> None:
    (folder / "a.md").chmod(0o604)
    os.utime(folder / "a.md", ns=(10**18, 10**18 + 1))
    give_colour(folder / "a.md")
    with open_place([elsewhere], elsewhere / "b.md") as target:
        files.move(note, target, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({}, {"b.md": b"before"})
    found = (elsewhere / "b.md").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o604, 10**18 + 1)
    with open_place([elsewhere], elsewhere / "b.md") as target:
        files.move(target, note, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({"a.md": b"before"}, {})
    assert (folder / "a.md").stat().st_mtime_ns == 10**18 + 1


def test_what_a_death_left_aside_is_given_back_where_it_is_somebody_elses(note: Place, folder: Path) -> None:
    spare = folder / ".agentd-7.tmp"
    # Removed in one step, and only then seen to be another file.
    (folder / "a.md").rename(spare)
    spare.write_bytes(b"mine")
    with pytest.raises(ChangedSince, match="just now"):
        files.remove(note, 7, sha(b"before"))
    assert state(folder) == {"a.md": b"mine"}
    # … while there is a newer one of that name.
    (folder / "a.md").rename(spare)
    (folder / "a.md").write_bytes(b"newer")
    with pytest.raises(ChangedSince, match="just now"):
        files.remove(note, 7, sha(b"before"))
    assert state(folder) == {"a.md": b"newer", "a (kept 1).md": b"mine"}


def test_two_edits_around_an_exchange_are_both_kept(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = swap.exchange

    def edit_around(one: Place, other: Place) -> bool:
        monkeypatch.setattr(swap, "exchange", exchange)
        (folder / "a.md").write_bytes(b"mine")
        done = exchange(one, other)
        (folder / "a.md").write_bytes(b"newer")
        return done

    monkeypatch.setattr(swap, "exchange", edit_around)
    with pytest.raises(ChangedSince, match="just now"):
        files.replace(note, 1, sha(b"before"), b"after")
    assert sorted(state(folder).values()) == [b"mine", b"newer"]
    assert not [name for name in names(folder) if name.startswith(".")]


def test_an_edit_during_a_move_stays_in_its_place(
    note: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = swap.move

    def edit_first(source: Place, target: Place) -> None:
        monkeypatch.setattr(swap, "move", move)
        (folder / "a.md").write_bytes(b"mine")
        move(source, target)

    monkeypatch.setattr(swap, "move", edit_first)
    with open_place([folder], folder / "b.md") as target, pytest.raises(ChangedSince, match="just now"):
        files.move(note, target, 1, sha(b"before"))
    assert state(folder) == {"a.md": b"mine"}


def test_a_copy_that_was_begun_goes_where_its_file_changed_since(
    note: Place, folder: Path, elsewhere: Path
) -> None:
    (elsewhere / ".agentd-1.tmp").write_bytes(b"bef")
    (folder / "a.md").write_bytes(b"mine")
    with open_place([elsewhere], elsewhere / "b.md") as target, pytest.raises(ChangedSince):
        files.move(note, target, 1, sha(b"before"))
    assert (state(folder), state(elsewhere)) == ({"a.md": b"mine"}, {})


@pytest.mark.skipif(sys.platform != "linux", reason="the system call of Linux")
def test_this_system_exchanges_files_in_one_step(note: Place, folder: Path) -> None:
    (folder / "b.md").write_bytes(b"other")
    assert swap.exchange(note, note.beside("b.md"))
    assert state(folder) == {"a.md": b"other", "b.md": b"before"}
