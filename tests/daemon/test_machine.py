"""What the machine is like, read from real files, processes and routes; the driver of a GPU is a stand-in."""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agentd.conditions import When
from agentd.daemon.machine import DRAWS_MUCH, Gpus, MachineReader, OwnLoad, has_way_out, read_power
from tests.daemon.nvml import GIB, FakeNvml

UNSHARE = shutil.which("unshare")


@pytest.fixture
def power(tmp_path: Path) -> Path:
    folder = tmp_path / "power_supply"
    folder.mkdir()
    return folder


def supply(folder: Path, name: str, **files: str) -> None:
    (folder / name).mkdir()
    for file, text in files.items():
        (folder / name / file).write_text(f"{text}\n")


def test_every_fact_of_this_machine_has_its_type_or_is_not_known() -> None:
    machine = MachineReader().read(When.model_fields)
    kinds = {
        "on_ac": bool,
        "battery": float,
        "idle_seconds": float,
        "load": float,
        "gpu_users": tuple,
        "gpu_free": int,
        "network": bool,
    }
    for name, kind in kinds.items():
        assert getattr(machine, name) is None or isinstance(getattr(machine, name), kind), name
    assert machine.load is not None


def test_what_is_not_asked_is_not_read() -> None:
    machine = MachineReader(FakeNvml()).read(["network"])
    assert machine.gpu_free is None
    assert machine.load is None


linux = pytest.mark.skipif(sys.platform != "linux", reason="the files of Linux")


@linux
def test_a_machine_without_a_battery_of_its_own_is_on_mains_power(power: Path) -> None:
    assert read_power(power / "none") == (True, None)
    supply(power, "hidpp_battery_0", type="Battery", scope="Device", status="Discharging", capacity="12")
    assert read_power(power) == (True, None), "the battery of a mouse"


@linux
@pytest.mark.parametrize(("online", "on_ac"), [(("1", "0"), True), (("0", "1"), True), (("0", "0"), False)])
def test_any_plug_is_mains_power(power: Path, online: tuple[str, str], on_ac: bool) -> None:
    supply(power, "BAT0", type="Battery", status="Not charging", capacity="80")
    supply(power, "BAT1", type="Battery", scope="System", status="Unknown", capacity="40")
    supply(power, "ACAD", type="Mains", online=online[0])
    supply(power, "ucsi-source-psy-USBC000:001", type="USB", online=online[1])
    assert read_power(power) == (on_ac, 60.0)


@linux
@pytest.mark.parametrize(("status", "on_ac"), [("Discharging", False), ("Charging", True), ("Full", True)])
def test_without_a_plug_to_look_at_the_battery_tells(power: Path, status: str, on_ac: bool) -> None:
    supply(power, "BAT0", type="Battery", status=status)
    assert read_power(power) == (on_ac, None)


def test_load_of_our_own_is_counted_as_the_system_counts_it() -> None:
    own, work = OwnLoad(), (7, 1000.0)
    assert own.look({work: 100.0}, 0.0) == 0.0, "what was used before the first look says nothing"
    for step in range(1, 25):
        own.look({work: 100.0 + 10.0 * step}, 5.0 * step)  # two cores
    assert own.value == pytest.approx(2 * (1 - math.exp(-2)))
    own.look({(7, 2000.0): 1.0}, 125.0)  # another process with the same number, which used one second
    assert own.value == pytest.approx(2 * (1 - math.exp(-2)) * math.exp(-5 / 60) + 0.2 * (1 - math.exp(-5 / 60)))


@pytest.mark.skipif(UNSHARE is None, reason="there is no unshare")
def test_a_machine_without_a_route_has_no_network() -> None:
    code = "from agentd.daemon.machine import has_way_out; print(has_way_out())"
    done = subprocess.run(
        [str(UNSHARE), "--user", "--net", "--map-root-user", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("unshare:"):
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.stdout == "False\n", done.stderr


def test_a_route_says_nothing_where_sockets_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("agentd.daemon.machine.socket.socket", refuse)
    assert has_way_out() is None


def test_a_machine_without_a_driver_tells_nothing_of_a_gpu() -> None:
    assert Gpus(FakeNvml(driver=False)).read(set()) == (None, None)
    found = MachineReader().read(["gpu_free"])
    assert (found.gpu_users is None) == (found.gpu_free is None)


def test_others_that_compute_or_draw_much_use_the_gpu_and_ours_do_not() -> None:
    other, me, ours = os.getppid(), os.getpid(), subprocess.Popen(["sleep", "60"])
    try:
        nvml = FakeNvml(free=[2 * GIB, 5 * GIB])
        nvml.computing[0] = {me: GIB, ours.pid: None}
        assert MachineReader(nvml).read(["gpu_free"]).gpu_users == ()
        nvml.drawing[0] = {other: DRAWS_MUCH - 1}
        assert MachineReader(nvml).read(["gpu_free"]).gpu_users == (), "a desktop"
        nvml.drawing[1] = {other: DRAWS_MUCH}
        named = f"{psutil.Process(other).name()} (pid {other})"
        assert MachineReader(nvml).read(["gpu_free"]).gpu_users == (named,)
        nvml.drawing[1], nvml.computing[1] = {}, {other: None}
        found = MachineReader(nvml).read(["gpu_free"])
        assert (found.gpu_users, found.gpu_free) == ((named,), 5 * GIB)
    finally:
        ours.kill()
        ours.wait()


def test_a_process_that_is_not_of_this_system_is_nobody() -> None:
    nvml = FakeNvml()
    nvml.computing[0] = {2**22 + 5: GIB}  # past the largest number that Linux gives
    assert Gpus(nvml).read(set()) == ((), GIB)


def test_a_driver_that_was_replaced_is_opened_anew() -> None:
    nvml = FakeNvml()
    gpus = Gpus(nvml)
    assert gpus.read(set()) == ((), GIB)
    assert gpus.read(set()) == ((), GIB)
    assert nvml.opened == 1
    nvml.driver = False
    assert gpus.read(set()) == (None, None)
    nvml.driver = True
    assert gpus.read(set()) == ((), GIB)
    assert nvml.opened == 2


def test_the_stand_in_has_no_function_that_the_library_lacks() -> None:
    assert importlib.util.find_spec("pynvml")
    import pynvml

    names = [name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML"))]
    assert len(names) >= 7
    assert [name for name in names if not hasattr(pynvml, name)] == []
