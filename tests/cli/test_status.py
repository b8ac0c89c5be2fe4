"""`agentd status` and the queue, as a person reads them."""

from dataclasses import asdict
from typing import Any

import pytest

from agentd.api.shapes import JobShape, job_shape
from agentd.api.status_shapes import StatusShape
from agentd.cli import status
from agentd.daemon.report import report_stopped
from agentd.daemon.settings import Config
from agentd.model import Load
from agentd.paths import Paths
from agentd.records import Job, JobState, Priority
from agentd.store import queue, results
from agentd.store.database import Database, Store
from tests.cli.conftest import Cli
from tests.making import NOW, make_document, make_event, make_result
from tests.shapes import check_shape


def add(db: Database, source: str, **given: Any) -> int:
    job_id = queue.add(db, make_event(source, source, **given), "hash", "main", NOW)
    assert job_id is not None
    return job_id


@pytest.fixture
def backlog(fake: Paths) -> list[int]:
    """One result that took 20 seconds of the engine, and three queued jobs."""
    store = Store(fake.database)
    db = store._db
    add(db, "/done.md")
    job = queue.claim(db, "me", "main", NOW)
    assert job is not None
    results.complete(db, job, "me", "hash", make_result(engine_seconds=20.0), make_document(), NOW)
    ids = [add(db, "/late.md", priority=Priority.BACKFILL), add(db, "/a.md"), add(db, "/b.md")]
    store.close()
    return ids


def test_a_queued_job_is_shown_with_its_place_and_the_work_until_it_is_done(cli: Cli, backlog: list[int]) -> None:
    listed = cli("jobs", "list", "--json").json
    check_shape(listed, list[JobShape])
    places = {job["source"]: (job["position"], job["eta_seconds"]) for job in listed}
    assert places == {"/done.md": (None, None), "/a.md": (1, 20.0), "/b.md": (2, 40.0), "/late.md": (3, 60.0)}
    assert "queued 3, about 60 s of work  tag" in cli("jobs").out
    shown = cli("jobs", "show", str(backlog[0])).out
    assert "place     3, about 60 s of work\n" in shown
    assert "position" not in shown
    assert cli("jobs", "show", str(backlog[0]), "--json").json["position"] == 3
    assert "place" not in cli("jobs", "show", "1").out


def test_a_place_without_any_result_yet_has_no_time(cli: Cli, fake: Paths) -> None:
    store = Store(fake.database)
    job_id = add(store._db, "/a.md")
    store.close()
    assert "place     1\n" in cli("jobs", "show", str(job_id)).out


def test_status_without_a_daemon_tells_the_work_that_waits_for_one(cli: Cli, backlog: list[int]) -> None:
    assert cli("status", "--json").json["eta_seconds"] == 60.0
    assert "3 queued, 1 done; about 60 s of work\n" in cli("status").out


def test_a_home_without_a_database_has_no_work(cli: Cli, fake: Paths) -> None:
    assert cli("status", "--json").json["eta_seconds"] == 0.0
    assert "jobs  none yet\n" in cli("status").out


def loaded(load: Load, **given: Any) -> StatusShape:
    """The status of a daemon whose model is loaded."""
    shape: Any = report_stopped(Config(), dict.fromkeys(JobState, 0)) | {"pid": 1, "ready": True}
    shape["models"]["main"] |= {
        **{
            "description": "llama 135M Q4_1",
            "loaded": True,
            "state": "loaded",
            "context": 8192,
            "kv_cache": "q8_0/q8_0",
        },
        **{"gpu_layers": 20, "layers": 30, "cells": 16384, "parallel": 8, "load": asdict(load)},
        **given,
    }
    check_shape(shape, StatusShape)
    return shape  # type: ignore[no-any-return]


def said(paths: Paths, capsys: pytest.CaptureFixture[str], shape: StatusShape) -> list[str]:
    """The lines about the model."""
    status._print(shape, paths)
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines[1:] if not line.startswith(("  jobs", "  log"))]


def test_a_model_that_works_tells_what_it_does_and_what_it_takes(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load(5, 2, 3, threads=2, cells_used=1210, prefixes=2, evicted=1, tokens_a_second=312.4)
    memory = [
        {"device": "CPU", "weights": 98 * 2**20, "kv_cache": 0, "compute": 30 * 2**20},
        {"device": "CUDA0", "weights": 3 * 2**30, "kv_cache": 90 * 2**20, "compute": 0},
    ]
    shape = loaded(load, memory=memory, weights="a copy in q8_0", notes=["20 of 30 layers fit"])
    assert said(paths, capsys, shape) == [
        "  model main     llama 135M Q4_1, context 8,192, KV cache q8_0/q8_0, 20 of 30 layers on a GPU",
        "    batch    5 of 8 running (2 paused), 3 waiting, 312 tokens/s with 2 threads",
        "    cache    1,210 of 16,384 tokens, 2 prefixes kept, 1 let go",
        "    memory   CPU: weights 98 MiB, compute 30 MiB",
        "    memory   CUDA0: weights 3.0 GiB, KV cache 90 MiB",
        "    weights  a copy in q8_0",
        "    note     20 of 30 layers fit",
    ]


def test_one_of_a_kind_is_no_plural(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    work = Load(running=1, threads=1, prefixes=1, tokens_a_second=9.0)
    assert said(paths, capsys, loaded(work, parallel=1))[1:] == [
        "    batch    1 of 1 running, 9 tokens/s with 1 thread",
        "    cache    0 of 16,384 tokens, 1 prefix kept",
    ]


def test_a_model_that_rests_says_so_and_no_more_than_there_is(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(paths, capsys, loaded(Load(), cells=0))[1:] == ["    batch    idle; 8 requests at a time"]


def test_a_model_for_embeddings_has_no_requests_at_a_time(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    embeds = {"use": "embeddings", "vector": 384, "cells": 0, "parallel": 1}
    assert said(paths, capsys, loaded(Load(), **embeds))[1:] == ["    batch    idle"]
    work = Load(running=1, waiting=2, threads=2, tokens_a_second=900.0)
    assert said(paths, capsys, loaded(work, **embeds))[1:] == [
        "    batch    1 running, 2 waiting, 900 tokens/s with 2 threads"
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"state": "loading"}, "loading"),
        ({"state": "failed", "error": "cannot open it"}, "cannot open it"),
        ({"state": "unloaded"}, "unloaded: it is loaded when it is needed"),
        ({"state": "unloaded", "held": True}, "unloaded, and its jobs wait: agentd model load main"),
        (
            {"state": "unloaded", "held": True, "use": "embeddings"},
            "unloaded, and notes are tagged without it: agentd model load main",
        ),
        (
            {"state": "unloaded", "gave_way_to": "blender (pid 7)"},
            "unloaded: gave way to blender (pid 7); it comes back when the GPU is free",
        ),
    ],
)
def test_a_model_that_is_not_loaded_tells_why(
    paths: Paths, capsys: pytest.CaptureFixture[str], given: dict[str, Any], told: str
) -> None:
    shape = loaded(Load(), loaded=False, **given)
    assert said(paths, capsys, shape)[1:] == [f"    {told}"]


def test_backfills_long_documents_and_planned_changes_are_told(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = loaded(Load())
    shape["backfills"] = [
        {
            **{
                "id": 3,
                "task": "summarise",
                "paths": ["/notes"],
                "state": "paused",
                "total": 5000,
                "queued": 4880,
            },
            **{"running": 0, "done": 120, "failed": 0, "cancelled": 0, "known": 0, "left_out": 0},
            **{"unreadable": 0, "eta_seconds": 7200.0, "error": None, "hint": None, "created": "c"},
        }
    ]
    shape["changes"] = {"planned": 12, "applied": 3}
    job = Job(
        *(7, "summarise", "hash", "main", "/a/long.pdf", "sha", "", Priority.TRIGGERED, JobState.RUNNING, 1, 0),
        *(None, None, None, "c", "c", "c", None, "12/40 parts"),
    )
    shape["long"] = [job_shape(job)]
    check_shape(shape, StatusShape)
    lines = said(paths, capsys, shape)
    assert "  backfill 3 summarise: 120 of 5,000 done, paused, about 2 h 0 min of work" in lines
    assert "    job 7 summarise: 12/40 parts of /a/long.pdf" in lines
    assert "  changes 12 planned: agentd changes list --state planned" in lines


def test_waiting_jobs_are_told_with_what_they_wait_for(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    shape = loaded(Load())
    shape["waiting"] = [
        {"origin": "watch /notes tag", "priority": None, "jobs": 1, "waits_for": "waits for mains power"},
        {"origin": None, "priority": "backfill", "jobs": 1200, "waits_for": "waits until 22:00"},
    ]
    check_shape(shape, StatusShape)
    assert said(paths, capsys, shape)[-2:] == [
        "    1 job of watch /notes tag: waits for mains power",
        "    1,200 jobs of backfill: waits until 22:00",
    ]


def test_without_a_daemon_nobody_knows_what_jobs_wait_for(cli: Cli, backlog: list[int]) -> None:
    assert {job["waits_for"] for job in cli("jobs", "list", "--json").json} == {None}
    assert cli("status", "--json").json["waiting"] is None
