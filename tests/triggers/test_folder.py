"""A real folder: what lands there becomes jobs, once each, whatever the system tells of it."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from agentd.errors import BrokenTask
from agentd.records import Priority, source_of
from agentd.store.database import Database, Store
from agentd.triggers import folder, hints
from tests.triggers.conftest import Watched
from tests.waiting import wait_until


async def test_a_new_file_becomes_a_job_and_an_edit_another(watched: Watched) -> None:
    async with watched.running():
        watched.write("a.md", "one")
        (job,) = await watched.wait_jobs(1)
        assert job["source"] == str(watched.root / "a.md")
        assert (job["state"], job["priority"]) == ("queued", Priority.TRIGGERED)
        watched.write("a.md", "two")
        await watched.wait_jobs(2)


async def test_what_was_there_is_done_as_backfill_and_counted(watched: Watched) -> None:
    for name in ("a.md", "sub/b.txt", "c.pdf"):
        watched.write(name)
    async with watched.running(existing="process"):
        jobs = await watched.wait_jobs(2)
        assert {job["priority"] for job in jobs} == {Priority.BACKFILL}
        assert watched.announced == [2]
        watched.write("new.md", "new")
        assert (await watched.wait_jobs(3))[-1]["priority"] == Priority.TRIGGERED
    async with watched.running(existing="process"):
        await watched.quiet()
        assert len(await watched.jobs()) == 4
        assert watched.announced == [2]


async def test_what_was_there_can_be_skipped_and_an_edit_of_it_is_done(watched: Watched) -> None:
    for number in range(3):
        watched.write(f"old{number}.md", f"old {number}")
    async with watched.running(existing="skip"):
        await watched.quiet()
        assert watched.announced == [3]
    async with watched.running(existing="skip"):
        watched.write("old1.md", "edited")
        await watched.wait_jobs(2)
        assert (await watched.names())[1] == "old1.md"


async def test_skipped_files_stay_skipped_after_a_death_before_they_were_noted(watched: Watched) -> None:
    watched.write("old.md")
    async with watched.running(existing="skip", settle="10m"):
        pass
    async with watched.running(existing="skip"):
        await watched.quiet()
        assert await watched.names() == ["marker-0.md"]


async def test_files_that_came_while_nobody_watched_are_not_skipped(watched: Watched) -> None:
    async with watched.running(existing="skip"):
        await watched.quiet()
    watched.write("late.md", "late")
    async with watched.running(existing="skip"):
        await watched.wait_jobs(2)


async def test_a_touch_is_no_change(watched: Watched) -> None:
    async with watched.running():
        file = watched.write("a.md")
        await watched.wait_jobs(1)
        os.utime(file)
        watched.write("a.md", "text")
        await watched.quiet()
        assert await watched.names() == ["a.md", "marker-1.md"]


async def test_content_that_returns_after_another_is_done_again(watched: Watched) -> None:
    async with watched.running():
        for count, text in enumerate(["A", "B", "A", "B"], 1):
            watched.write("a.md", text)
            await watched.wait_jobs(count)
            await watched.end_job()


async def test_a_rename_takes_the_job_along(watched: Watched) -> None:
    async with watched.running():
        file = watched.write("a.md", "one")
        await watched.wait_jobs(1)
        await watched.end_job()
        file.rename(watched.root / "b.md")
        await watched.quiet()
        assert await watched.names() == ["b.md", "marker-1.md"]
        (watched.root / "sub").mkdir()
        (watched.root / "b.md").rename(watched.root / "sub" / "b.md")
        (watched.root / "sub").rename(watched.root / "moved")
        await wait_until(lambda: _has(watched, "moved/b.md"))
        assert len(await watched.jobs()) == 2


async def _has(watched: Watched, name: str) -> bool:
    return name in await watched.names()


async def test_a_copy_is_a_file_of_its_own(watched: Watched) -> None:
    async with watched.running():
        file = watched.write("a.md")
        await watched.wait_jobs(1)
        shutil.copy2(file, watched.root / "b.md")
        await watched.wait_jobs(2)
        assert await watched.names() == ["a.md", "b.md"]


async def test_a_file_that_was_deleted_and_returns_unchanged_is_not_done_again(watched: Watched) -> None:
    async with watched.running():
        file = watched.write("a.md")
        await watched.wait_jobs(1)
        await watched.end_job()
        file.unlink()
        await watched.quiet()
        watched.write("a.md")
        await watched.quiet()
        assert await watched.names() == ["a.md", "marker-1.md", "marker-2.md"]


async def test_a_file_that_is_still_written_is_taken_once_it_is_whole(watched: Watched) -> None:
    async with watched.running(settle="300ms"):
        with (watched.root / "a.md").open("w") as file:
            for number in range(8):
                file.write(f"line {number}\n")
                file.flush()
                size = os.fstat(file.fileno()).st_size
                await wait_until(lambda size=size: _pending_size(watched, "a.md") == size)  # type: ignore[misc]
                assert await watched.jobs() == []
        await watched.wait_jobs(1)
        assert watched.emitted[0].stamp.size == (watched.root / "a.md").stat().st_size


def _pending_size(watched: Watched, name: str) -> int | None:
    seen = watched.trigger._settler._seen.get(str(watched.root / name))
    return seen[0].size if seen else None


async def test_what_can_never_be_a_document_is_a_failed_job_and_the_next_file_done(watched: Watched) -> None:
    async with watched.running(max_size="10B"):
        os.mkfifo(watched.root / "pipe.md")
        watched.write("large.md", "x" * 11)
        os.mkfifo(watched.root / os.fsdecode(b"caf\xe9.md"))
        jobs = await watched.wait_jobs(3)
        assert sorted(job["reason"] for job in jobs) == ["not-a-file", "not-a-file", "too-large"]
        assert {job["state"] for job in jobs} == {"failed"}
        watched.write("good.md", "good")
        await watched.wait_jobs(4)


async def test_a_raised_limit_lets_a_refused_file_in(watched: Watched) -> None:
    watched.write("large.md", "x" * 11)
    async with watched.running(max_size="10B"):
        await watched.wait_jobs(1)
    async with watched.running(max_size="20B"):
        jobs = await watched.wait_jobs(2)
        assert [job["state"] for job in jobs] == ["failed", "queued"]


async def test_a_file_that_becomes_readable_is_done(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open, closed = os.open, True

    def refuse(path: Path, *args: int, **more: int) -> int:
        if closed and Path(path).name == "a.md":
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    async with watched.running():
        file = watched.write("a.md")
        (job,) = await watched.wait_jobs(1)
        assert job["reason"] == "unreadable"
        closed = False
        file.chmod(0o600)
        assert (await watched.wait_jobs(2))[1]["state"] == "queued"


@pytest.mark.parametrize("name", ["two\nlines.md", os.fsdecode(b"caf\xe9.md"), "deep\nfolder/ünï.md"])
async def test_any_name_is_taken_edited_and_followed(watched: Watched, name: str) -> None:
    async with watched.running():
        file = watched.write(name, "one")
        (job,) = await watched.wait_jobs(1)
        assert job["source"] == source_of(file)
        watched.write(name, "two")
        await watched.wait_jobs(2)
        await watched.end_job()
    file.rename(watched.root / "plain.md")
    async with watched.running():
        await wait_until(lambda: _has(watched, "plain.md"))
        assert len(await watched.jobs()) == 2


async def test_links_lead_nowhere(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    async with watched.running():
        (watched.root / "link.md").symlink_to(tmp_path / "secret.md")
        (watched.root / "up").symlink_to(tmp_path)
        await watched.quiet()
        assert await watched.names() == ["marker-0.md"]


async def test_a_folder_that_moves_in_brings_its_files(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "outside" / "deep" / f"{number}.md").write_text(f"file {number}")
    async with watched.running():
        (tmp_path / "outside").rename(watched.root / "inside")
        await watched.wait_jobs(5)
        watched.write("inside/deep/later.md", "later")
        await watched.wait_jobs(6)


async def test_a_folder_that_is_named_through_a_link_is_watched(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(watched.root)
    async with watched.running(path=str(tmp_path / "link")):
        watched.write("a.md")
        (job,) = await watched.wait_jobs(1)
        assert job["source"] == str(watched.root / "a.md")


async def test_a_missing_folder_is_told_and_watched_once_it_is_there(watched: Watched) -> None:
    watched.root.rmdir()
    async with watched.running() as trigger:
        assert trigger.problem is not None
        assert "does not exist: mkdir -p" in trigger.problem
        watched.write("a.md")
        await watched.wait_jobs(1)
        assert trigger.problem is None


@pytest.mark.parametrize("how", ["removed", "moved away"])
async def test_a_folder_that_is_replaced_is_watched_again(watched: Watched, tmp_path: Path, how: str) -> None:
    async with watched.running():
        watched.write("a.md", "one")
        await watched.wait_jobs(1)
        await watched.end_job()
        # At once: the system may tell of it only when the new folder is there already.
        if how == "removed":
            shutil.rmtree(watched.root)
        else:
            watched.root.rename(tmp_path / "old")
        watched.write("b.md", "two")
        await watched.wait_jobs(2)
        watched.write("c.md", "three")
        await watched.wait_jobs(3)


async def test_a_scan_finds_what_no_event_told_of(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints._Handler, "on_any_event", lambda self, event: None)
    async with watched.running(scan="100ms"):
        file = watched.write("a.md", "one")
        await watched.wait_jobs(1)
        watched.write("a.md", "two")
        await watched.wait_jobs(2)
        await watched.end_job()
        file.rename(watched.root / "b.md")
        await wait_until(lambda: _has(watched, "b.md"))
        assert len(await watched.jobs()) == 2


async def test_a_system_without_events_is_scanned_more_often(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hints.Observer, "start", refuse)
    monkeypatch.setattr(folder, "POLL_SECONDS", 0.1)
    async with watched.running(scan="1h"):
        watched.write("a.md")
        await watched.wait_jobs(1)


async def test_a_burst_beyond_all_hints_is_taken_whole_and_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "BURST", 20)
    monkeypatch.setattr(folder, "BATCH", 50)
    async with watched.running():
        for number in range(300):
            watched.write(f"sub{number % 7}/{number}.md", f"file {number}")
        jobs = await watched.wait_jobs(300)
        assert len({job["source"] for job in jobs}) == 300


async def test_files_that_could_not_be_handed_on_are_tried_again(watched: Watched) -> None:
    watched.refuse = [BrokenTask("the task is broken"), BrokenTask("the task is broken")]
    async with watched.running() as trigger:
        watched.write("a.md", "one")
        watched.write("b.md", "two")
        await wait_until(lambda: trigger.problem)
        await watched.wait_jobs(2)
        assert trigger.problem is None


async def test_an_error_that_nobody_expected_ends_the_duty_and_loses_nothing(watched: Watched) -> None:
    watched.refuse = [RuntimeError("a mistake")]  # type: ignore[list-item]
    with pytest.raises(AssertionError, match="a mistake"):
        async with watched.running():
            watched.write("a.md")
            await wait_until(lambda: not watched.refuse)
            await asyncio.sleep(0)
    async with watched.running():
        await watched.wait_jobs(1)


async def test_two_watches_of_one_task_leave_each_others_files_alone(watched: Watched, store: Store) -> None:
    texts = Watched(watched.root, store)
    async with watched.running(include=["*.md"]), texts.running(include=["*.txt"]):
        watched.write("a.md", "same")
        await watched.wait_jobs(1)
        watched.write("a.txt", "other")
        await watched.wait_jobs(2)
        await watched.end_job()
    # Were a.md thought to be gone, the copy would take its history away.
    async with texts.running(include=["*.txt"]):
        watched.write("b.txt", "same")
        await watched.wait_jobs(3)
        assert await watched.names() == ["a.md", "a.txt", "b.txt"]


async def test_a_stop_in_the_middle_loses_nothing(watched: Watched) -> None:
    for number in range(40):
        watched.write(f"{number}.md", f"file {number}")
    count = 0
    while len(await watched.jobs()) < 40:
        assert (count := count + 1) < 100
        async with watched.running(settle="1ms"):
            await wait_until(lambda: watched.emitted)
        watched.emitted.clear()
    assert len({job["source"] for job in await watched.jobs()}) == 40


async def test_a_polled_folder_is_scanned_and_asks_for_no_events(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints.Observer, "start", lambda self: pytest.fail("events were asked for"))
    async with watched.running(poll="100ms"):
        watched.write("a.md")
        await watched.wait_jobs(1)


async def test_a_network_file_system_is_polled(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints.Observer, "start", lambda self: pytest.fail("events were asked for"))
    monkeypatch.setattr(folder, "network_type", lambda _: "nfs4")
    monkeypatch.setattr(folder, "POLL_SECONDS", 0.1)
    async with watched.running():
        watched.write("a.md")
        await watched.wait_jobs(1)


async def test_an_edit_after_a_death_in_the_first_scan_is_done(watched: Watched, store: Store) -> None:
    watched.write("old.md", "old")
    async with watched.running(existing="skip"):
        await watched.quiet()

    def forget(db: Database) -> None:
        db.execute("DELETE FROM watches")  # as if it had died before it noted that it was through

    await store.write(forget)
    async with watched.running(existing="skip"):
        watched.write("old.md", "edited")
        await watched.wait_jobs(2)
        assert (await watched.names())[1] == "old.md"
