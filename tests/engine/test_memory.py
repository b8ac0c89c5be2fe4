"""How much memory may be taken: control groups of both versions, and this machine."""

from pathlib import Path

import psutil
import pytest

from agentd.engine.memory import free_memory

MIB = 1024**2


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    write(tmp_path / "proc")
    return tmp_path / "proc"


def test_this_machine_has_some() -> None:
    free, total = free_memory()
    assert 0 < free <= total <= psutil.virtual_memory().total


def test_without_control_groups_the_system_is_believed(tmp_path: Path) -> None:
    free, total = free_memory(tmp_path / "none", tmp_path / "none")
    assert total == psutil.virtual_memory().total
    assert 0 < free <= total


def test_the_limit_of_a_container_counts_without_files_it_has_read(tmp_path: Path, proc: Path) -> None:
    write(proc, cgroup="0::/user.slice/agentd.service\n")
    stat = f"anon {60 * MIB}\ninactive_file {10 * MIB}\nactive_file {20 * MIB}\nbroken\n"
    write(
        tmp_path / "cg/user.slice/agentd.service",
        memory__max=f"{128 * MIB}\n",
        memory__current=f"{90 * MIB}\n",
        memory__stat=stat,
    )
    write(tmp_path / "cg/user.slice", memory__max="max\n", memory__current=f"{90 * MIB}\n")
    assert free_memory(proc, tmp_path / "cg") == (68 * MIB, 128 * MIB)
    write(tmp_path / "cg/user.slice", memory__max=f"{100 * MIB}\n")
    assert free_memory(proc, tmp_path / "cg") == (10 * MIB, 100 * MIB), "a limit holds for all below it"
    write(tmp_path / "cg/user.slice", memory__max=f"{50 * MIB}\n")
    assert free_memory(proc, tmp_path / "cg") == (0, 50 * MIB)


def test_version_one_is_read_too_and_at_the_top_inside_a_container(tmp_path: Path, proc: Path) -> None:
    write(proc, cgroup="12:cpu,cpuacct:/docker/abc\n5:memory:/docker/../abc\n0::/\n")
    write(
        tmp_path / "cg/memory",
        memory__limit_in_bytes=str(64 * MIB),
        memory__usage_in_bytes=str(40 * MIB),
        memory__stat=f"total_inactive_file {8 * MIB}\ninactive_file 1\n",
    )
    assert free_memory(proc, tmp_path / "cg") == (32 * MIB, 64 * MIB)
    write(tmp_path / "cg/memory", memory__limit_in_bytes=str(2**63 - 4096))
    assert free_memory(proc, tmp_path / "cg")[1] == psutil.virtual_memory().total, "no limit at all"
