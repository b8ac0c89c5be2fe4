"""Work that waits, in a real daemon: until the hour has come, or until a GPU is free, as a stand-in tells it."""

import os
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake, {model}}}
watch:
  - {{path: "{folder}", task: note-tagging, settle: 100ms, when: {{{when}}}}}
vocabularies:
  tags: [python, garden, kitchen]
"""

# As much of the library as is used, on processes that a file names.
NVML = """\
import os, pathlib
from types import SimpleNamespace

class NVMLError(Exception):
    pass

def nvmlInit(): pass
def nvmlDeviceGetCount(): return 1
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetMemoryInfo(device): return SimpleNamespace(free=2**30)
def nvmlDeviceGetGraphicsRunningProcesses(device): return []
def nvmlDeviceGetComputeRunningProcesses(device):
    pids = pathlib.Path(os.environ["TEST_GPU_PIDS"]).read_text().split()
    return [SimpleNamespace(pid=int(pid), usedGpuMemory=2**30) for pid in pids]
"""


def hours_from_now(first: float, last: float) -> str:
    begin, end = (datetime.now() + timedelta(hours=hours) for hours in (first, last))
    return f'hours: "{begin:%H:%M}-{end:%H:%M}"'


def waiting_job(daemon: Daemon) -> Any:
    """The one queued job, as it is listed, once there is one."""
    wait_for(lambda: daemon.counts().get("queued") == 1, what="a queued job")
    (job,) = daemon.json("jobs", "list", "--state", "queued")
    return job


def test_a_job_waits_for_its_hours_and_says_so_while_questions_are_answered(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    closed = CONFIG.format(folder=folder, model="keep_alive: 1s", when=hours_from_now(5, 6))
    daemon = make_daemon(closed)
    daemon.start()
    pears = daemon.write("pears.md", "# Pears\n\nPrune the pear tree in February.\n")
    job = waiting_job(daemon)
    told = job["waits_for"]
    assert told.startswith("waits until ")
    assert f"queued {told}" in daemon.agentd("jobs", "list").stdout
    assert f"waits     {told.removeprefix('waits ')}\n" in daemon.agentd("jobs", "show", str(job["id"])).stdout
    origin = f"watch {folder} note-tagging"
    shape = daemon.json("status")
    assert shape["waiting"] == [{"origin": origin, "priority": None, "jobs": 1, "waits_for": told}]
    assert f"1 job of {origin}: {told}" in daemon.agentd("status").stdout
    wait_for(lambda: daemon.status()["models"]["main"]["child_pid"] is None, what="the end of an idle child")
    # A person has not to wait for the hour, for the same file neither.
    assert daemon.agentd("run", "note-tagging", str(pears)).returncode == 0
    assert daemon.agentd("ask", "when is the pear tree pruned?").returncode == 0
    assert daemon.counts() == {"queued": 1, "done": 1}
    assert daemon.query("SELECT attempts FROM jobs WHERE state = 'queued'") == [(0,)]
    opened = CONFIG.format(folder=folder, model="keep_alive: 1s", when=hours_from_now(-1, 1))
    (daemon.home / "config.yaml").write_text(opened)
    assert daemon.agentd("reload").returncode == 0
    daemon.wait_done(2)
    assert daemon.json("status")["waiting"] == []
    daemon.stop()
    assert daemon.json("jobs", "show", str(job["id"]))["waits_for"] is None


def test_jobs_that_a_reload_closes_are_not_begun(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    daemon = make_daemon(CONFIG.format(folder=folder, model="threads: auto", when=""))
    daemon.start()
    daemon.write("a.md")
    daemon.wait_done(1)
    closed = CONFIG.format(folder=folder, model="threads: auto", when="")
    (daemon.home / "config.yaml").write_text(f"{closed}when: {{triggered: {{{hours_from_now(5, 6)}}}}}\n")
    assert daemon.agentd("reload").returncode == 0
    daemon.write("b.md")
    assert waiting_job(daemon)["waits_for"].startswith("waits until ")
    assert [one["priority"] for one in daemon.json("status")["waiting"]] == ["triggered"]
    psutil.Process(daemon.pid).suspend()
    assert waiting_job(daemon)["waits_for"] is None, "jobs are listed though the daemon says nothing"
    daemon.stop()


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file with the processes that compute on the only GPU; daemons find the stand-in before the library."""
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "pynvml.py").write_text(NVML)
    pids = tmp_path / "pids"
    pids.write_text("")
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "stand-in"), before])))
    monkeypatch.setenv("TEST_GPU_PIDS", str(pids))
    yield pids


@pytest.fixture
def other() -> Iterator[int]:
    """Another program, which could use the GPU."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def use(gpu: Path, *pids: int) -> None:
    """Let these processes compute, from one look to the next."""
    gpu.with_suffix(".new").write_text(" ".join(map(str, pids)))
    gpu.with_suffix(".new").rename(gpu)


def test_a_job_waits_until_no_other_program_uses_the_gpu(
    make_daemon: MakeDaemon, tmp_path: Path, gpu: Path, other: int
) -> None:
    use(gpu, other)
    daemon = make_daemon(CONFIG.format(folder=tmp_path / "notes", model="threads: auto", when="gpu_free: true"))
    daemon.start()
    daemon.write("note.md")
    assert waiting_job(daemon)["waits_for"] == f"waits for the GPU, which sleep (pid {other}) uses"
    use(gpu)
    daemon.wait_done(1)
    daemon.check_once_each(1)
    assert daemon.status()["waiting"] == []
    assert f"watch {tmp_path}/notes note-tagging: goes on" in daemon.log
    daemon.stop()


def test_a_model_leaves_the_gpu_to_another_program_until_a_person_insists(
    make_daemon: MakeDaemon, tmp_path: Path, gpu: Path, other: int
) -> None:
    model = "gpu_layers: 4, yield: gpu"
    daemon = make_daemon(CONFIG.format(folder=tmp_path / "notes", model=model, when=""))
    daemon.start()
    hands = daemon.fill_hands()
    use(gpu, other)
    wait_for(lambda: daemon.status()["models"]["main"]["child_pid"] is None, what="the model that gives way")
    wait_for(lambda: daemon.counts() == {"queued": hands}, what="jobs that were under way")
    told = f"gave way to sleep (pid {other})"
    assert f"unloaded: {told}; it comes back when the GPU is free" in daemon.agentd("status").stdout
    assert told in daemon.agentd("model", "list").stdout
    asked = daemon.agentd("ask", "who uses the GPU?")
    assert asked.returncode == 1
    assert f"error: model main {told} on the GPU, and comes back when that is free\n" in asked.stderr
    assert asked.stderr.endswith("next:  agentd model load main\n")
    assert daemon.agentd("model", "load", "main").returncode == 0
    daemon.wait_done(hands)
    daemon.check_once_each(hands)
    assert daemon.status()["models"]["main"]["restarts"] == 0
    daemon.stop()
