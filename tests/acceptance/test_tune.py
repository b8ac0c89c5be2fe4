"""`agentd model tune` with a real model: through the daemon, alone, and stopped in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from agentd.api.status_shapes import TuneShape
from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon, has_ended
from tests.shapes import check_shape
from tests.waiting import wait_for

# Nothing is left to be searched but the size of a step.
CONFIG = """\
models:
  main: {{path: starter, threads: 1, context: 1024, parallel: 4, repack: off, kv_cache: {{k: q8_0, v: q8_0}}}}
watch:
  - {{path: "{folder}", task: sort, settle: 100ms}}
"""
TASK = """\
---
name: sort
description: Where a thing belongs
output:
  place: {enum: [garden, kitchen, desk]}
max_tokens: 16
---
Say where the thing belongs.
"""
THINGS = ["pear", "oven", "pen", "hedge", "pan", "lamp", "rose", "cup", "book", "tree", "fork", "chair"]


def make(make_daemon: MakeDaemon, tmp_path: Path) -> Daemon:
    daemon = make_daemon(CONFIG.format(folder=tmp_path / "notes"))
    (daemon.home / "tasks").mkdir()
    (daemon.home / "tasks" / "sort.md").write_text(TASK)
    return daemon


@contextmanager
def tuning(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, as in a terminal."""
    command = [sys.executable, "-m", "agentd", "model", "tune", *words]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def tuners(parent: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it has ended since
            if "agentd.engine.tuner" in child.cmdline():
                found.append(child)
    return found


def model_of(daemon: Daemon) -> Any:
    return daemon.status()["models"]["main"]


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_daemon_and_its_model_as_they_were(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make(make_daemon, tmp_path)
    daemon.start()
    with tuning() as search:
        (tuner,) = wait_for(lambda: tuners(daemon.pid), what="a search")
        notices = wait_for(lambda: [one for one in daemon.status()["notices"] if "is being measured" in one])
        assert notices == ["model main is being measured by `agentd model tune`, and its jobs wait"]
        note = daemon.write("note.md")
        for words in (["model", "tune"], ["run", "sort", str(note)], ["model", "load", "main"]):
            refused = daemon.agentd(*words)
            assert refused.returncode == 1
            assert "is being measured" in refused.stderr
        assert not model_of(daemon)["loaded"]
        os.killpg(search.pid, signal.SIGINT)
        assert search.wait(60) == 130
        assert search.stderr is not None
        assert "Traceback" not in search.stderr.read()
    wait_for(lambda: has_ended(tuner), what="the end of the search")
    daemon.wait_done(1)
    assert model_of(daemon)["loaded"]
    assert daemon.query("SELECT count(*) FROM choices") == [(0,)]
    assert not (daemon.home / "models" / "tuning").exists()
    daemon.stop()


def test_a_daemon_that_is_stopped_ends_its_search(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make(make_daemon, tmp_path)
    daemon.start()
    with tuning() as search:
        (tuner,) = wait_for(lambda: tuners(daemon.pid), what="a search")
        daemon.stop()
        assert has_ended(tuner)
        assert search.wait(60) == 1
        assert search.stderr is not None
        assert "Traceback" not in search.stderr.read()
    assert not (daemon.home / "models" / "tuning").exists()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_a_search_without_a_daemon_ends_quietly(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make(make_daemon, tmp_path)
    with tuning() as search:
        (tuner,) = wait_for(lambda: tuners(search.pid), what="a search")
        wait_for((daemon.home / "models" / "tuning").exists)
        os.killpg(search.pid, signal.SIGINT)
        assert search.wait(60) == 130
        assert search.stderr is not None
        assert "Traceback" not in search.stderr.read()
    wait_for(lambda: has_ended(tuner), what="the end of the search")
    assert not (daemon.home / "models" / "tuning").exists()


@pytest.mark.slow
def test_what_was_measured_is_how_the_model_runs(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make(make_daemon, tmp_path)
    daemon.start()
    for number, thing in enumerate(THINGS):
        daemon.write(f"{number}.md", f"A {thing}.\n")
    daemon.wait_done(len(THINGS), 300)
    assert any("agentd model tune" in notice for notice in daemon.status()["notices"])
    with tuning("--json") as search:
        out, said = search.communicate(timeout=1200)
    assert search.returncode == 0, said
    found = json.loads(out)
    check_shape(found, TuneShape)
    chosen = next(row for row in found["rows"] if row["chosen"])
    ((batch, parallel, threads),) = daemon.query("SELECT batch, parallel, threads FROM choices")
    assert batch == chosen["batch"]
    assert parallel == 8, "what the config fixes was not searched"
    assert threads == psutil.cpu_count()
    wait_for(lambda: model_of(daemon)["loaded"], 60)
    assert not any("agentd model tune" in notice for notice in daemon.status()["notices"])
    reset = daemon.agentd("model", "tune", "--reset")
    assert (reset.returncode, reset.stdout) == (0, "")
    assert daemon.query("SELECT count(*) FROM choices") == [(0,)]
    wait_for(lambda: model_of(daemon)["loaded"], 60)
    daemon.stop()
