"""Changes, from planned to undone, one of each kind and what can go wrong with it."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentd.actions import files, webhook
from agentd.errors import (
    ChangedSince,
    ChangeError,
    Conflict,
    EffectFailed,
    InternalError,
    NoSpace,
    NotEditable,
    NotUndoable,
    Outside,
    Superseded,
    Unreachable,
)
from agentd.records import ChangeState, Plan
from agentd.store import changes
from tests.actions.conftest import Home, tags
from tests.making import NOW


async def test_front_matter_is_set_and_undone_byte_for_byte_with_its_time(home: Home) -> None:
    note = home.write("a.md", "# Peas\r\nSow.\r\n")
    os.utime(note, ns=(10**18, 10**18))
    before = note.read_bytes()
    (change_id,) = await home.plan(note, tags(note, "garden"))
    applied = await home.effects.apply(change_id)
    assert note.read_bytes() == b"---\r\ntags:\r\n  - garden\r\n---\r\n# Peas\r\nSow.\r\n"
    assert (applied.state, applied.before, applied.after) == (
        ChangeState.APPLIED,
        files.digest(before),
        files.digest(note.read_bytes()),
    )
    assert await home.store.read(changes.is_own, str(note), files.digest(note.read_bytes()))
    undone = await home.effects.undo(change_id)
    assert undone.state is ChangeState.UNDONE
    assert (note.read_bytes(), note.stat().st_mtime_ns) == (before, 10**18)
    assert await home.store.read(changes.is_own, str(note), files.digest(before))


async def test_a_note_that_changed_since_the_result_is_left_alone(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden"))
    note.write_text("# Beans\n")
    with pytest.raises(ChangedSince, match="has changed since"):
        await home.effects.apply(change_id)
    assert note.read_text() == "# Beans\n"
    assert (await home.store.read(changes.get, change_id)).state is ChangeState.SUPERSEDED


async def test_an_undo_is_refused_where_the_file_changed_since(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden"))
    await home.effects.apply(change_id)
    note.write_text(note.read_text() + "More.\n")
    edited = note.read_bytes()
    with pytest.raises(ChangedSince):
        await home.effects.undo(change_id)
    assert note.read_bytes() == edited
    kept = await home.store.read(changes.get, change_id)
    assert (kept.state, kept.reason) == (ChangeState.APPLIED, "changed-since")


async def test_only_applied_changes_are_undone_and_superseded_ones_are_never_applied(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (old,) = await home.plan(note, tags(note, "garden"))
    with pytest.raises(NotUndoable, match="is planned: only applied ones"):
        await home.effects.undo(old)
    await home.plan(note, tags(note, "home"), occasion="again")
    with pytest.raises(ChangeError, match="is superseded: it cannot be applied"):
        await home.effects.apply(old)
    assert note.read_text() == "# Peas\n"


async def test_a_person_may_think_again(home: Home) -> None:
    note, filed = home.write("a.md", "# Peas\n"), home.target / "a.md"
    move = Plan("move", str(note), {"to": str(filed), "on_conflict": "fail"})
    tag, moved = await home.plan(note, tags(note, "garden"), move)
    await home.store.write(changes.refuse, tag)
    assert await home.store.read(changes.given, str(note)) == ({}, {"tags": ["garden"]})
    await home.effects.apply(tag)
    await home.effects.apply(moved)
    await home.effects.undo(moved)
    assert await home.store.read(changes.unwanted, str(note)) == [("move", move.details)]
    await home.effects.undo(tag)
    for change_id in (tag, moved):
        again = await home.effects.apply(change_id)
        assert (again.state, again.undone) == (ChangeState.APPLIED, None)
        with pytest.raises(ChangeError, match="is applied already"):
            await home.effects.apply(change_id)
    assert "garden" in filed.read_text()
    assert await home.store.read(changes.unwanted, str(note)) == []


async def test_a_newer_result_takes_the_place_of_what_an_older_one_planned(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (old,) = await home.plan(note, tags(note, "garden"))
    (new,) = await home.plan(note, tags(note, "home"), occasion="again")
    assert (await home.store.read(changes.get, old)).state is ChangeState.SUPERSEDED
    assert (await home.store.read(changes.get, new)).state is ChangeState.PLANNED


async def test_a_sidecar_is_made_replaced_and_taken_away_but_never_written_over_another_file(home: Home) -> None:
    note, sidecar = home.write("a.md", "# Peas\n"), home.notes / "a.agentd.md"
    (first,) = await home.plan(note, Plan("sidecar", str(note), {"to": str(sidecar), "text": "one\n"}))
    await home.effects.apply(first)
    (second,) = await home.plan(
        note, Plan("sidecar", str(note), {"to": str(sidecar), "text": "two\n"}), occasion="2"
    )
    await home.effects.apply(second)
    assert sidecar.read_text() == "two\n"
    await home.effects.undo(second)
    assert sidecar.read_text() == "one\n"
    await home.effects.undo(first)
    assert not sidecar.exists()
    sidecar.write_text("mine")
    (third,) = await home.plan(note, Plan("sidecar", str(note), {"to": str(sidecar), "text": "3\n"}), occasion="3")
    with pytest.raises(Conflict):
        await home.effects.apply(third)
    assert sidecar.read_text() == "mine"


async def test_a_text_is_appended_and_taken_off_again(home: Home) -> None:
    note, journal = home.write("a.md", "# Peas\n"), home.target / "2026" / "log.md"
    append = Plan("append", str(note), {"to": str(journal), "text": "- Peas\n"})
    (first,) = await home.plan(note, append)
    await home.effects.apply(first)
    (second,) = await home.plan(note, append, occasion="2")
    await home.effects.apply(second)
    assert journal.read_text() == "- Peas\n- Peas\n"
    with pytest.raises(ChangedSince):
        await home.effects.undo(first)
    await home.effects.undo(second)
    await home.effects.undo(first)
    assert not journal.exists()


async def test_a_file_is_tagged_and_then_moved_and_all_of_it_undone(home: Home) -> None:
    note, target = home.write("a.md", "# Peas\n"), home.target / "peas.md"
    move = Plan("move", str(note), {"to": str(target), "on_conflict": "rename"})
    target.write_text("another")
    ids = await home.plan(note, tags(note, "garden"), move)
    for change_id in ids:
        await home.effects.apply(change_id)
    moved = home.target / "peas 2.md"
    assert "garden" in moved.read_text()
    assert (note.exists(), target.read_text()) == (False, "another")
    for change_id in reversed(ids):
        await home.effects.undo(change_id)
    assert note.read_text() == "# Peas\n"
    assert not moved.exists()


TAKEN = [("skip", Superseded, "superseded"), ("fail", Conflict, "failed")]


@pytest.mark.parametrize(("policy", "error", "state"), TAKEN)
async def test_a_name_that_is_taken_is_skipped_or_fails(
    home: Home, policy: str, error: type[Exception], state: str
) -> None:
    note = home.write("a.md", "# Peas\n")
    (home.target / "a.md").write_text("another")
    copy = Plan("copy", str(note), {"to": str(home.target / "a.md"), "on_conflict": policy})
    (change_id,) = await home.plan(note, copy)
    with pytest.raises(error):
        await home.effects.apply(change_id)
    assert (await home.store.read(changes.get, change_id)).state == state
    assert (home.target / "a.md").read_text() == "another"


async def test_a_name_that_is_taken_just_then_is_never_written_over(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, target = home.write("a.md", "# Peas\n"), home.target / "a.md"
    real = files.move

    def take_first(*arguments: Any) -> None:
        target.write_text("another")
        real(*arguments)

    monkeypatch.setattr(files, "move", take_first)
    (change_id,) = await home.plan(note, Plan("move", str(note), {"to": str(target), "on_conflict": "rename"}))
    with pytest.raises(Conflict):
        await home.effects.apply(change_id)
    assert (note.read_text(), target.read_text()) == ("# Peas\n", "another")
    monkeypatch.undo()
    await home.effects.apply(change_id)
    assert (home.target / "a 2.md").read_text() == "# Peas\n"
    assert target.read_text() == "another"


async def test_a_full_disk_is_named_and_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden", auto=True))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", full)
        with pytest.raises(NoSpace, match=r"a\.md: no space left") as told:
            await home.effects.apply(change_id)
    assert told.value.hint.startswith("df -h ")
    waiting = await home.store.read(changes.get, change_id)
    assert (waiting.state, waiting.reason, waiting.attempts) == (ChangeState.PLANNED, "no-space", 1)
    assert [file.name for file in home.notes.iterdir()] == ["a.md"]
    assert note.read_text() == "# Peas\n"
    await home.effects.apply(change_id)
    assert "garden" in note.read_text()


async def test_what_the_system_refuses_is_told_with_the_whole_path(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "a.md")

    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden"))
    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(EffectFailed, match=rf"^{note}: Permission denied$") as told:
        await home.effects.apply(change_id)
    assert told.value.hint == f"ls -ld {note.parent} {note}"
    assert (await home.store.read(changes.get, change_id)).state is ChangeState.FAILED


async def test_a_mistake_of_agentd_ends_one_change_and_is_named(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_: object) -> bool:
        raise ValueError("embedded null byte")

    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden"))
    monkeypatch.setattr(files, "replace", stumble)
    with pytest.raises(InternalError, match="ValueError: embedded null byte"):
        await home.effects.apply(change_id)
    waiting = await home.store.read(changes.get, change_id)  # tried again, as jobs are
    assert (waiting.state, waiting.reason, waiting.attempts) == (ChangeState.PLANNED, "internal", 1)
    assert "a change met a mistake of agentd" in caplog.text


async def test_only_text_is_appended_to(home: Home) -> None:
    note, picture = home.write("a.md", "# Peas\n"), home.target / "a.png"
    picture.write_bytes(b"\x89PNG\0\0")
    (change_id,) = await home.plan(note, Plan("append", str(note), {"to": str(picture), "text": "x\n"}))
    with pytest.raises(NotEditable, match=r"a\.png is no UTF-8 text"):
        await home.effects.apply(change_id)
    assert picture.read_bytes() == b"\x89PNG\0\0"


async def test_nothing_happens_outside_the_roots(home: Home, tmp_path: Path) -> None:
    note, outside = home.write("a.md", "# Peas\n"), tmp_path / "outside"
    outside.mkdir()
    (home.target / "link").symlink_to(outside)
    for target in (outside / "a.md", home.target / ".." / "outside" / "a.md", home.target / "link" / "a.md"):
        move = Plan("move", str(note), {"to": str(target), "on_conflict": "rename"})
        (change_id,) = await home.plan(note, move, occasion=str(target))
        with pytest.raises(Outside):
            await home.effects.apply(change_id)
    assert list(outside.iterdir()) == []
    assert note.exists()


async def test_a_webhook_is_told_with_a_signed_id_and_tried_again(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    hook = {"url": "https://hook.test/in", "secret_file": str(secret)}
    home = Home(tmp_path, home.store, webhooks={"home": hook})
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(503 if len(seen) == 1 else 204)

    client = httpx.AsyncClient
    monkeypatch.setattr(
        webhook.httpx, "AsyncClient", lambda **kw: client(**kw | {"transport": httpx.MockTransport(answer)})
    )
    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, Plan("webhook", str(note), {"to": "home"}))
    with pytest.raises(Unreachable, match="answered 503"):
        await home.effects.apply(change_id)
    waiting = await home.store.read(changes.get, change_id)
    assert (waiting.state, waiting.attempts) == (ChangeState.PLANNED, 1)
    await home.effects.apply(change_id)
    first, second = seen
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-id"].startswith(f"agentd-change-{change_id}-")
    body = json.loads(second.content)
    assert (body["type"], body["source"]) == ("agentd.result", str(note))
    with pytest.raises(NotUndoable):
        await home.effects.undo(change_id)


def test_a_signature_is_the_one_of_the_standard() -> None:
    # The example of standardwebhooks.com, whose secret is public.
    secret = b"\x31\xf2\x90\xf6\xbf\x06\x29\x8a\xab\x4f\x08\xd4\x3c\x3f\x08\x2c\xf6\x48\xa3\x62\xda\x2d\xa4\xb0"
    signature = webhook.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_command_gets_the_result_on_its_standard_input_and_nothing_on_its_line(
    home: Home, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    program = tmp_path / "take"
    program.write_text(f"#!/bin/sh\ncat > '{out}'\necho \"$#\" >> '{out}'\n")
    program.chmod(0o755)
    home = Home(tmp_path, home.store, commands={"take": {"run": [str(program)]}, "fail": {"run": ["/bin/false"]}})
    note = home.write("$(touch pwned).md", "# Peas\n")
    (change_id,) = await home.plan(note, Plan("command", str(note), {"run": "take"}))
    await home.effects.apply(change_id)
    given, count = out.read_text().splitlines()
    assert (json.loads(given)["source"], count) == (str(note), "0")
    (change_id,) = await home.plan(note, Plan("command", str(note), {"run": "fail"}), occasion="2")
    with pytest.raises(EffectFailed, match="/bin/false ended with 1"):
        await home.effects.apply(change_id)
    assert (await home.store.read(changes.get, change_id)).state is ChangeState.FAILED


async def test_a_command_during_which_agentd_died_is_not_run_twice(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, Plan("command", str(note), {"run": "take"}))
    await home.store.write(
        changes.begin, change_id, target=None, before=None, before_digest=None, after=None, mtime_ns=None
    )
    assert await home.effects.recover() == 1
    failed = await home.store.read(changes.get, change_id)
    assert (failed.state, failed.error) == (
        ChangeState.FAILED,
        "agentd died meanwhile; whether it happened is not known",
    )


async def test_the_time_of_a_plan_is_kept(home: Home) -> None:
    note = home.write("a.md", "# Peas\n")
    (change_id,) = await home.plan(note, tags(note, "garden", auto=True))
    (due,) = await home.store.read(changes.due, changes.WRITING, NOW, 5)
    assert due.id == change_id
