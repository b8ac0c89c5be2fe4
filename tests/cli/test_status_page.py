"""The page of `agentd status`, as a person reads it."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from agentd.api.shapes import job_shape
from agentd.api.status_shapes import StatusShape
from agentd.cli.status_page import page, told_error
from agentd.cli.text import local_time
from agentd.daemon.report import report_stopped
from agentd.daemon.settings import Config
from agentd.errors import ConfigError
from agentd.model import Load
from agentd.records import Job, JobState, Priority, timestamp
from tests.making import NOW
from tests.shapes import check_shape

LOG = Path("/var/log/agentd.log")


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


def shown(shape: Any, width: int = 200) -> list[str]:
    """The page, without its colours."""
    return [click.unstyle(line) for line in page(shape, LOG, NOW, width)]


def part(shape: Any, title: str, width: int = 200) -> list[str]:
    """The lines of one section."""
    lines = shown(shape, width)
    begin = lines.index(title) + 1
    return lines[begin : lines.index("", begin)]


def test_a_model_that_works_tells_what_it_does_and_what_it_takes() -> None:
    load = Load(5, 2, 3, threads=2, cells_used=1210, prefixes=2, evicted=1, tokens_a_second=312.4)
    memory = [
        {"device": "CPU", "weights": 98 * 2**20, "kv_cache": 0, "compute": 30 * 2**20},
        {"device": "CUDA0", "weights": 3 * 2**30, "kv_cache": 90 * 2**20, "compute": 0},
    ]
    shape = loaded(load, memory=memory, weights="a copy in q8_0", notes=["20 of 30 layers fit"])
    assert part(shape, "models") == [
        "  main     llama 135M Q4_1, context 8,192, KV cache q8_0/q8_0, 20 of 30 layers on a GPU",
        "    batch    5 of 8 running (2 paused), 3 waiting, 312 tokens/s with 2 threads",
        "    cache    1,210 of 16,384 tokens, 2 prefixes kept, 1 let go",
        "    memory   CPU: weights 98 MiB, compute 30 MiB",
        "    memory   CUDA0: weights 3.0 GiB, KV cache 90 MiB",
        "    weights  a copy in q8_0",
        "    note     20 of 30 layers fit",
    ]


def test_one_of_a_kind_is_no_plural() -> None:
    work = Load(running=1, threads=1, prefixes=1, tokens_a_second=9.0)
    assert part(loaded(work, parallel=1), "models")[1:] == [
        "    batch    1 of 1 running, 9 tokens/s with 1 thread",
        "    cache    0 of 16,384 tokens, 1 prefix kept",
    ]


def test_a_model_that_rests_says_so_and_no_more_than_there_is() -> None:
    assert part(loaded(Load(), cells=0), "models")[1:] == ["    batch    idle; 8 requests at a time"]


def test_a_model_for_embeddings_has_no_requests_at_a_time() -> None:
    embeds = {"use": "embeddings", "vector": 384, "cells": 0, "parallel": 1}
    assert part(loaded(Load(), **embeds), "models")[1:] == ["    batch    idle"]
    work = Load(running=1, waiting=2, threads=2, tokens_a_second=900.0)
    assert part(loaded(work, **embeds), "models")[1:] == [
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
def test_a_model_that_is_not_loaded_tells_why(given: dict[str, Any], told: str) -> None:
    shape = loaded(Load(), loaded=False, **given)
    assert part(shape, "models")[1:] == [f"    {told}"]


def test_backfills_long_documents_and_planned_changes_are_told() -> None:
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
    lines = part(shape, "work")
    assert "  backfill 3 summarise: 120 of 5,000 done, paused, about 2 h 0 min of work" in lines
    assert "    job 7 summarise: 12/40 parts of /a/long.pdf" in lines
    assert "  changes 12 planned: agentd changes list --state planned" in lines


def test_waiting_jobs_are_told_with_what_they_wait_for() -> None:
    shape = loaded(Load())
    shape["waiting"] = [
        {"origin": "watch /notes tag", "priority": None, "jobs": 1, "waits_for": "waits for mains power"},
        {"origin": None, "priority": "backfill", "jobs": 1200, "waits_for": "waits until 22:00"},
    ]
    check_shape(shape, StatusShape)
    assert part(shape, "work")[1:] == [
        "    1 job of watch /notes tag: waits for mains power",
        "    1,200 jobs of backfill: waits until 22:00",
    ]


def test_schedules_are_told_with_when_they_come_next_and_what_is_wrong() -> None:
    shape: Any = loaded(Load())
    one = {"name": "daily-digest", "task": "daily-digest", "when": "every day at 07:00", "timezone": None}
    one |= {"fired": None, "next": "2026-05-05T05:00:00.000Z", "overdue": False, "job": None, "state": "waiting"}
    one |= {"note": "nothing new", "problem": None}
    gone = one | {"name": "gone", "task": "x", "next": None, "state": "over", "note": "", "problem": "no task `x`"}
    shape["schedules"] = [one, gone, one | {"name": "late", "overdue": True, "state": "queued", "note": ""}]
    check_shape(shape, StatusShape)
    coming = local_time("2026-05-05T05:00:00.000Z")[:16]
    lines = part(shape, "schedules")
    assert lines == [
        f"  daily-digest every day at 07:00, next {coming}; last time nothing new",
        "  gone → x every day at 07:00, never again",
        "    no task `x`",
        "  late → daily-digest every day at 07:00, as soon as the daemon runs, queued now",
    ]
    shape["problems"] = [{"key": "schedule gone", "told": "schedule gone waits: no task `x`", "hint": "h"}]
    assert sum("no task `x`" in line for line in shown(shape)) == 1


def test_the_head_tells_state_age_and_size() -> None:
    shape: Any = loaded(Load()) | {"started": timestamp(NOW - timedelta(hours=3, minutes=20)), "rss": 85 * 2**20}
    assert shown(shape)[0] == f"agentd {shape['version']} is ready (pid 1, up 3 h 20 min, 85 MiB)"
    assert shown(shape | {"ready": False})[0].startswith(f"agentd {shape['version']} is starting (pid 1")
    problem = {"key": "database", "told": "no space left", "hint": "df -h"}
    lines = shown(shape | {"problems": [problem]})
    assert " is unwell (pid 1" in lines[0]
    assert lines[1:3] == ["  ✗ no space left", "    next: df -h"]


def test_what_stands_with_the_problems_is_not_told_again_below() -> None:
    shape: Any = loaded(Load(), loaded=False, state="failed", error="cannot open it")
    shape["watches"] = [{"path": "/a", "task": "tag", "scanned": True, "problem": "/a does not exist"}]
    shape["logs"] = [{"source": "journal", "task": None, "lines": 0, "problems": ["cannot run journalctl"]}]
    assert sum("cannot open it" in line for line in shown(shape)) == 1
    shape["problems"] = [
        {"key": "model main", "told": "model main failed: cannot open it", "hint": "h"},
        {"key": "watch /a → tag", "told": "/a does not exist", "hint": "h"},
        {"key": "log journal", "told": "journal: cannot run journalctl", "hint": "h"},
    ]
    for told in ("cannot open it", "does not exist", "cannot run journalctl"):
        assert sum(told in line for line in shown(shape)) == 1


def test_the_queue_is_told_by_priority_as_far_as_there_is_any() -> None:
    shape: Any = loaded(Load())
    shape["jobs"] |= {"queued": 13, "running": 2, "done": 1200, "failed": 1}
    shape["eta_seconds"] = 7200.0
    shape["queue"] = [
        {"priority": "interactive", "queued": 0, "running": 0, "eta_seconds": 0.0},
        {"priority": "triggered", "queued": 12, "running": 2, "eta_seconds": 240.0},
        {"priority": "backfill", "queued": 1, "running": 0, "eta_seconds": None},
        {"priority": "paused", "queued": 300, "running": 0, "eta_seconds": None},
    ]
    assert part(shape, "work") == [
        "  jobs  13 queued, 2 running, 1,200 done, 1 failed; about 2 h 0 min of work",
        "    triggered    2 running, 12 queued, done in about 4 min",
        "    backfill     1 queued",
        "    paused       300 queued",
        "    next: agentd jobs list --state failed",
    ]


def test_the_last_errors_are_told_with_their_reason_and_nothing_twice() -> None:
    job = Job(
        *(7, "tag", "hash", "main", "/a/empty.md", "sha", "", Priority.TRIGGERED, JobState.FAILED, 1, 0),
        *("empty", "/a/empty.md is empty", "h", "c", "c", "c", timestamp(NOW), None),
    )
    shape: Any = loaded(Load()) | {"last_errors": [job_shape(job)]}
    shape["last_errors"][0] |= {"error": "/a/empty.md is\x1b[31m empty\n" + "x" * 300}
    (line,) = [line for line in shown(shape) if "job 7" in line]
    assert " failed job 7 tag: /a/empty.md is\\x1b[31m empty xxx" in line
    assert line.endswith("x…")
    shape["last_errors"][0] |= {"error": "no answer within 300 s", "state": "quarantined"}
    assert any(
        line.endswith(" quarantined job 7 tag: /a/empty.md: no answer within 300 s") for line in shown(shape)
    )


def test_duties_that_fare_well_are_one_line_and_the_others_tell_why() -> None:
    shape: Any = loaded(Load())
    shape["duties"] = {
        "serve": {"state": "running", "restarts": 0, "error": None},
        "heartbeat": {"state": "running", "restarts": 1, "error": "ValueError: no"},
        "follow logs": {"state": "stuck", "restarts": 0, "error": None},
        "find files": {"state": "ended", "restarts": 0, "error": None},
    }
    assert part(shape, "duties") == [
        "  2 run: serve, find files",
        "  heartbeat running, started again 1 time: ValueError: no",
        "  follow logs stuck",
    ]


def test_no_key_that_a_daemon_of_an_earlier_version_leaves_out_is_missed() -> None:
    job = Job(
        *(7, "tag", "hash", "main", "/a", "sha", "", Priority.TRIGGERED, JobState.FAILED, 1, 0),
        *("empty", "empty", "h", "c", "c", "c", timestamp(NOW), "1/2 parts"),
    )
    shape: Any = loaded(Load(running=1), rss=5) | {
        "long": [job_shape(job)],
        "last_errors": [job_shape(job)],
        "watches": [{"path": "/a", "task": "tag", "scanned": True, "problem": "p"}],
        "logs": [{"source": "journal", "task": "t", "lines": 3, "problems": ["p"]}],
        "queue": [{"priority": "triggered", "queued": 1, "running": 1, "eta_seconds": 5.0}],
        "duties": {"serve": {"state": "running", "restarts": 1, "error": "e"}},
        "problems": [{"key": "database", "told": "t", "hint": "h"}],
    }
    parts = [shape, *shape["models"].values(), *shape["duties"].values()]
    parts += [one for key in ("long", "last_errors", "watches", "logs", "queue", "problems") for one in shape[key]]
    for part in parts:
        for key in list(part):
            value = part.pop(key)
            assert shown(shape), key
            part[key] = value


def test_a_daemon_of_an_earlier_version_that_leaves_keys_out_is_shown() -> None:
    shape: Any = loaded(Load())
    shape["duties"] = {"serve": {"restarts": 0, "error": None}}
    del shape["models"]["main"]["rss"]
    whole = shown(shape)
    for key in ("started", "rss", "queue", "last_errors", "problems", "long", "backfills", "changes", "notices"):
        del shape[key]
    assert shown(shape) == whole


@pytest.mark.parametrize("width", [16, 24, 44, 80])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    shape: Any = loaded(Load(), notes=["context 1,024 instead of 8,192, since CPU has 1.2 GiB free"])
    shape["watches"] = [{"path": f"/very/{'long' * 30}", "task": "tag", "scanned": True, "problem": "w " * 60}]
    lines = shown(shape, width)
    assert max(map(len, lines)) <= width
    squeezed = "".join("".join(lines).split())
    assert squeezed == "".join("".join(shown(shape, 10_000)).split())


def test_colours_stay_with_their_words_where_a_line_is_folded() -> None:
    shape: Any = loaded(Load(), loaded=False, state="failed", error="a b c d e f g h i j k l m n o p")
    for line in page(shape, LOG, NOW, 24):
        assert line.count("\x1b[0m") == len(
            [part for part in line.split("\x1b[")[1:] if not part.startswith("0m")]
        )


def test_an_error_in_place_of_the_page_keeps_to_the_terminal() -> None:
    lines = [click.unstyle(line) for line in told_error(ConfigError("c.yaml:1: unknown key\nand more"), 30)]
    assert lines == ["error: c.yaml:1: unknown", "      key↵and more", "next:  agentd config check"]
