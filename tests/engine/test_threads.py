"""Threads give way to other processes and come back, by pure rules over counters that are really read."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.engine.threads import (
    LOOK_SECONDS,
    Sample,
    Threads,
    others_between,
    others_wanted,
    own_cores,
    take_sample,
    usable_cores,
    wanted_threads,
)
from tests.waiting import wait_for

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("cores", "most", "others", "wanted"),
    [
        (2, 2, [], 2),
        (2, 2, [0.0, 0.3], 2),
        (2, 2, [0.67], 1),
        (2, 2, [0.0, 1.0, 0.0], 1),
        (2, 2, [2.0], 1),
        (16, 8, [0.0], 8),
        (16, 8, [7.0], 8),
        (16, 8, [11.8], 4),
        (1, 4, [0.0], 1),
    ],
)
def test_a_thread_for_every_core_that_others_leave(
    cores: int, most: int, others: list[float], wanted: int
) -> None:
    assert wanted_threads(cores, most, others) == wanted


loads = st.lists(st.floats(0, 300), max_size=8)


@given(cores=st.integers(1, 256), most=st.integers(1, 256), others=loads, more=st.floats(0, 300))
def test_more_load_never_means_more_threads(cores: int, most: int, others: list[float], more: float) -> None:
    wanted = wanted_threads(cores, most, others)
    assert 1 <= wanted <= most
    assert wanted_threads(cores, most, [*others, more]) <= wanted


def settled(cores: int, neighbours: int, threads: int, *, fairly: bool) -> int:
    """Threads after some seconds beside busy neighbours, with the same right to a core or with the first."""
    for _ in range(3 * cores):
        if fairly:
            share = min(1.0, cores / (neighbours + threads))
            theirs, own = neighbours * share, threads * share
        else:
            theirs = float(min(neighbours, cores))
            own = min(float(threads), cores - theirs)
        after = Sample(at=1.0, busy=theirs + own, own=own)
        others = others_wanted(Sample(0.0, 0.0, 0.0), after, cores, threads)
        threads = wanted_threads(cores, cores, [others])
    return threads


@given(cores=st.integers(1, 64), neighbours=st.integers(0, 80), threads=st.integers(1, 64), fairly=st.booleans())
def test_it_settles_on_the_cores_that_busy_neighbours_leave(
    cores: int, neighbours: int, threads: int, fairly: bool
) -> None:
    threads = min(threads, cores)
    assert settled(cores, neighbours, threads, fairly=fairly) == max(1, cores - neighbours)


BEFORE = Sample(at=10.0, busy=100.0, own=7.0)


def test_what_this_process_used_is_not_the_others() -> None:
    assert others_between(BEFORE, Sample(10.5, 100.9, 7.75)) == pytest.approx(0.3)
    assert others_between(BEFORE, Sample(10.5, 100.9, 8.1)) == 0, "the clocks tick apart"


def test_a_process_that_got_nothing_keeps_one_thread() -> None:
    others = others_wanted(BEFORE, Sample(10.5, 101.0, 7.0), cores=2, threads=1)
    assert wanted_threads(2, 2, [others]) == 1


def control_groups(folder: Path, group: str, quotas: dict[str, str]) -> tuple[Path, Path]:
    """What the kernel shows of nested control groups: this process's own, and the tree."""
    own = folder / "cgroup"
    own.write_text(f"2:cpu:/old\n0::{group}\n")
    tree = folder / "tree"
    (tree / group.lstrip("/")).mkdir(parents=True)
    for inner, quota in quotas.items():
        (tree / inner / "cpu.max").write_text(quota + "\n")
    return own, tree


@pytest.mark.parametrize(
    ("group", "quotas", "cores"),
    [
        ("/", {}, CORES),
        ("/", {".": "100000 100000"}, 1),
        ("/a/b", {"a": "max 100000", "a/b": "max 100000"}, CORES),
        ("/a/b", {"a": "100000 100000", "a/b": "6400000 100000"}, 1),
        ("/a/b", {"a": "6400000 100000", "a/b": "20000 100000"}, 1),
        ("/a", {"a": "no numbers"}, CORES),
    ],
)
def test_quotas_of_control_groups_count(tmp_path: Path, group: str, quotas: dict[str, str], cores: int) -> None:
    assert usable_cores(*control_groups(tmp_path, group, quotas)) == cores


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path) == CORES


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_process_bound_to_one_core_computes_with_one_thread() -> None:
    code = (
        "import os, time\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from agentd.engine.threads import Threads\n"
        "print(Threads(8).look(time.monotonic()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_process_that_takes_all_cores_is_seen_and_its_end_too() -> None:
    threads = Threads(CORES)
    looks: list[int] = []

    def look() -> int:
        looks.append(threads.look(time.monotonic()))
        return looks[-1]

    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    try:
        wait_for(lambda: look() == 1, what="a thread for the core that is left")
        used = sum(sum(psutil.Process(process.pid).cpu_times()[:2]) for process in busy)
        assert used > 0
    finally:
        for process in busy:
            process.kill()
            process.wait()
    # Others on this machine may keep it busy: then its own count must say so as well.
    before = take_sample(own_cores(), time.monotonic())

    def others_seconds() -> float:
        now = take_sample(own_cores(), time.monotonic())
        return others_between(before, now) * (now.at - before.at)

    wait_for(lambda: look() > 1 or others_seconds() > CORES, what="the calm after them")


def test_between_two_looks_nothing_changes() -> None:
    threads = Threads(CORES)
    now = time.monotonic()
    assert len({threads.look(now + LOOK_SECONDS * share / 100) for share in range(100)}) == 1
