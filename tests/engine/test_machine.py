from pathlib import Path

import pytest

from agentd.engine import machine
from agentd.engine.machine import machine_name

CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD Ryzen 7 5800X 8-Core Processor\n"


@pytest.fixture(autouse=True)
def sixteen_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 16)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 16 if logical else 8)
    monkeypatch.setattr(machine, "free_memory", lambda: (0, int(30.9 * 1024**3)))
    monkeypatch.setattr(machine, "gpu_present", lambda: "Vulkan")


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_machine_is_known_by_what_decides_the_speed(tmp_path: Path) -> None:
    cpuinfo = write(tmp_path / "cpuinfo", CPUINFO)
    common = "AMD Ryzen 7 5800X 8-Core Processor, 16 threads of 8 cores, 32 GiB"
    assert machine_name(cpuinfo, tmp_path / "nvidia") == f"{common}, a GPU for Vulkan"
    for number, model in enumerate(["NVIDIA GeForce RTX 4090", "NVIDIA A2"]):
        write(tmp_path / "nvidia" / f"0000:0{number}" / "information", f"Model: \t\t {model}\nIRQ: 1\n")
    assert machine_name(cpuinfo, tmp_path / "nvidia") == f"{common}, NVIDIA A2, NVIDIA GeForce RTX 4090"


def test_a_system_that_tells_nothing_still_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu_present", lambda: None)
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert machine_name(tmp_path / "none", tmp_path / "none") == "arm, 16 threads of 8 cores, 32 GiB"


def test_the_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert machine_name() == machine_name() != ""
