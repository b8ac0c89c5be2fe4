"""The units, as text and as systemd's own tools judge them."""

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.errors import ServiceError
from agentd.service.folders import Needs
from agentd.service.systemd import Machine, system_unit, user_unit
from tests.service.making import make_machine, make_needs

Unit = Callable[[Needs, Machine], str]
UNITS = pytest.mark.parametrize("unit", [user_unit, system_unit])
NETWORK = pytest.mark.parametrize("network", [False, True], ids=["alone", "network"])
GPUS = pytest.mark.parametrize("gpus", [(), ("nvidiactl", "dri", "kfd")], ids=["cpu", "gpu"])
HARDEST_NAME = Path("/srv/a b%h$HOME'\"\\é;#")


def analyze(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of a unit; skips the test where it is not there or is too old."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    found = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"\d+", found)[0]) < 250:
        pytest.skip("systemd-analyze is older than 250 and cannot judge a file")
    file = folder / "agentd.service"
    file.write_text(text)
    return subprocess.run(
        ["systemd-analyze", *words, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"XDG_RUNTIME_DIR": str(folder)},
    )


@UNITS
@NETWORK
@GPUS
def test_the_exposure_is_at_most_two(unit: Unit, network: bool, gpus: tuple[str, ...], tmp_path: Path) -> None:
    text = unit(make_needs(network=network), make_machine(gpus=gpus))
    done = analyze(tmp_path, text, "security", "--offline=true", "--no-pager")
    level = re.search(r"Overall exposure level for agentd.service: ([\d.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= 2.0, done.stdout


@UNITS
@NETWORK
@GPUS
@pytest.mark.parametrize("namespaces", [True, False], ids=["namespaces", "none"])
def test_systemd_has_nothing_to_say_about_the_unit(
    unit: Unit, network: bool, gpus: tuple[str, ...], namespaces: bool, tmp_path: Path
) -> None:
    needed = make_needs(network=network, writable=(tmp_path, HARDEST_NAME, Path("/home/me/Notes")))
    text = unit(needed, make_machine(gpus=gpus, namespaces=namespaces, environment={"AGENTD_HOME": HARDEST_NAME}))
    done = analyze(tmp_path, text, *(["--user"] if unit is user_unit else []), "verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_verify_would_tell_of_a_directive_that_is_none(tmp_path: Path) -> None:
    text = user_unit(make_needs(), make_machine()).replace("UMask=", "UMusk=")
    assert "UMusk" in analyze(tmp_path, text, "--user", "verify").stderr


@UNITS
@pytest.mark.parametrize(
    ("version", "has", "has_not"),
    [
        (252, ["Type=notify\n", "ExecReload=/bin/kill -HUP $MAINPID\n"], ["notify-reload", "RestartSteps"]),
        (253, ["Type=notify-reload\n"], ["ExecReload", "RestartSteps"]),
        (257, ["Type=notify-reload\n", "RestartSteps=6\n", "RestartMaxDelaySec=300\n"], ["ExecReload"]),
    ],
)
def test_a_directive_is_written_only_for_a_systemd_that_knows_it(
    unit: Unit, version: int, has: list[str], has_not: list[str]
) -> None:
    text = unit(make_needs(), make_machine(version=version))
    assert [line for line in has if line not in text] == []
    assert [word for word in has_not if word in text] == []


@UNITS
def test_what_no_task_writes_to_is_not_writable(unit: Unit) -> None:
    text = unit(make_needs(), make_machine())
    assert 'ReadWritePaths="-/srv/notes"' in text
    assert "/srv/models" not in text, "all that is not writable can be read"
    assert "ProtectSystem=strict" in text


@UNITS
def test_a_network_is_had_only_by_a_config_that_speaks_to_others(unit: Unit) -> None:
    alone = unit(make_needs(), make_machine())
    assert "PrivateNetwork=yes" in alone
    assert "RestrictAddressFamilies=AF_UNIX\n" in alone
    speaking = unit(make_needs(network=True), make_machine())
    assert "PrivateNetwork" not in speaking
    assert "IPAddressDeny" not in speaking
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n" in speaking


@UNITS
@pytest.mark.parametrize(
    ("gpu", "gpus", "opened"), [(True, ("nvidiactl",), True), (False, ("nvidiactl",), False), (True, (), False)]
)
def test_a_gpu_is_opened_only_where_there_is_one_that_is_used(
    unit: Unit, gpu: bool, gpus: tuple[str, ...], opened: bool
) -> None:
    text = unit(make_needs(gpu=gpu), make_machine(gpus=gpus))
    assert ("DeviceAllow=char-nvidia-uvm rw" in text) == opened
    assert ("PrivateDevices=yes" in text) == (not opened)
    assert ("MemoryDenyWriteExecute=yes" in text) == (not opened)


def test_the_system_service_sees_of_homes_only_what_it_needs() -> None:
    needed = make_needs(writable=(Path("/home/me/Notes"),), readable=(Path("/home/me/models"), Path("/srv/x")))
    text = system_unit(needed, make_machine())
    assert "ProtectHome=tmpfs" in text
    assert 'BindPaths="-/home/me/Notes"' in text
    assert 'BindReadOnlyPaths="-/home/me/models"' in text
    assert "ProtectHome=yes" in system_unit(make_needs(), make_machine())


def test_the_system_service_has_a_user_and_a_home_of_its_own() -> None:
    text = system_unit(make_needs(runtime=False), make_machine(groups=("systemd-journal",)))
    wanted = ("User=agentd", "StateDirectory=agentd", "SupplementaryGroups=systemd-journal", "WantedBy=multi-user")
    assert [line for line in wanted if f"\n{line}" not in text] == []
    assert "\nRuntimeDirectory" not in text, "its socket lies in its home"


def test_keys_of_other_programs_are_hidden_unless_something_needs_them() -> None:
    hidden = "InaccessiblePaths=-%h/.ssh -%h/.gnupg "
    assert hidden in user_unit(make_needs(), make_machine())
    needing = make_needs(readable=(Path("/home/me/.ssh/agentd"),))
    assert "InaccessiblePaths=-%h/.gnupg " in user_unit(needing, make_machine())
    assert "InaccessiblePaths" not in user_unit(make_needs(commands=True), make_machine())


@UNITS
def test_what_lies_in_tmp_is_not_hidden_by_a_tmp_of_its_own(unit: Unit) -> None:
    assert "PrivateTmp=yes" in unit(make_needs(), make_machine())
    assert "PrivateTmp" not in unit(make_needs(), make_machine(package=Path("/tmp/checkout/agentd")))
    text = unit(make_needs(writable=(Path("/tmp/agentd"),)), make_machine())
    assert "PrivateTmp" not in text


def test_without_user_namespaces_only_what_works_without_them_is_asked_for() -> None:
    text = user_unit(make_needs(), make_machine(namespaces=False))
    needing = ("PrivateUsers", "ProtectSystem", "PrivateDevices", "ProtectKernelLogs", "CapabilityBoundingSet")
    assert [word for word in needing if word in text] == []
    assert "SystemCallFilter=@system-service" in text


@UNITS
def test_a_group_that_a_folder_hands_on_may_be_set(unit: Unit) -> None:
    assert "RestrictSUIDSGID=yes" in unit(make_needs(), make_machine())
    assert "RestrictSUIDSGID" not in unit(make_needs(), make_machine(shared=True))


@pytest.mark.parametrize("name", ["a\nExecStartPre=/bin/sh", "a\x1b[31m", os.fsdecode(b"\xff")])
def test_a_name_that_a_unit_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ServiceError, match="cannot stand in a unit"):
        user_unit(make_needs(writable=(Path("/srv") / name,)), make_machine())


def test_every_unit_has_each_directive_once_but_for_lists() -> None:
    lists = {
        "Environment",
        "ReadWritePaths",
        "SystemCallFilter",
        "DeviceAllow",
        "SupplementaryGroups",
        "BindPaths",
    }
    choices: list[list[Any]] = [[user_unit, system_unit], [True, False], [(), ("dri",)]]
    for unit, network, gpus in itertools.product(*choices):
        lines = unit(make_needs(network=network), make_machine(gpus=gpus)).splitlines()
        names = [line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")]
        assert {name for name in names if names.count(name) > 1} <= lists
