"""With `per: folder`, files that come together are one job, and what comes meanwhile is lost in no mode."""

import sqlite3
from pathlib import Path

from tests.triggers.conftest import Watched
from tests.waiting import wait_until


def members(watched: Watched, content: str) -> list[str]:
    connection = sqlite3.connect(watched.store.path)
    rows = connection.execute("SELECT source FROM bundles WHERE content = ? ORDER BY source", [content]).fetchall()
    connection.close()
    return [Path(source).name for (source,) in rows]


async def test_files_that_come_together_are_one_job_per_folder(watched: Watched) -> None:
    async with watched.running(per="folder", settle="300ms"):
        for name in ("a.md", "b.md", "sub/c.md"):
            watched.write(name, name)
        (job,) = await watched.wait_jobs(1)
        assert job["source"] == f"{watched.root.resolve()}//{job['content'][:12]}"
        assert members(watched, job["content"]) == ["a.md", "b.md", "c.md"]
        watched.write("b.md", "edited")
        jobs = await watched.wait_jobs(2)
        assert members(watched, jobs[1]["content"]) == ["b.md"]
    async with watched.running(per="folder", settle="300ms"):
        watched.write("d.md", "d")
        jobs = await watched.wait_jobs(3)
        assert members(watched, jobs[2]["content"]) == ["d.md"]


async def test_a_bundle_that_is_restarted_takes_the_files_of_the_one_before_along(watched: Watched) -> None:
    async with watched.running(per="folder", mode="restart"):
        watched.write("a.md", "a")
        await watched.wait_jobs(1)
        watched.write("b.md", "b")
        first, second = await watched.wait_jobs(2)
        assert (first["state"], second["state"]) == ("cancelled", "queued")
        assert members(watched, second["content"]) == ["a.md", "b.md"]
        await watched.end_job()
        watched.write("c.md", "c")
        jobs = await watched.wait_jobs(3)
        assert members(watched, jobs[2]["content"]) == ["c.md"]


async def test_a_single_bundle_at_a_time_lets_files_gather(watched: Watched) -> None:
    async with watched.running(per="folder", mode="single") as trigger:
        watched.write("a.md", "a")
        await watched.wait_jobs(1)
        watched.write("b.md", "b")
        await wait_until(lambda: trigger._not_before)
        watched.write("c.md", "c")
        await wait_until(lambda: len(trigger._settler) == 2)
        assert len(await watched.jobs()) == 1
        await watched.end_job()
        jobs = await watched.wait_jobs(2)
        assert members(watched, jobs[1]["content"]) == ["b.md", "c.md"]


async def test_a_file_of_a_burst_that_can_never_be_read_fails_alone(watched: Watched) -> None:
    async with watched.running(per="folder", max_size="10B"):
        watched.write("large.md", "more than ten bytes")
        watched.write("a.md", "a")
        failed, job = await watched.wait_jobs(2)
        assert (failed["state"], failed["reason"]) == ("failed", "too-large")
        assert members(watched, job["content"]) == ["a.md"]
