import os
import socket
import stat
from pathlib import Path

import pytest

from agentd.errors import AgentdError
from agentd.paths import SOCKET_PATH_LIMIT, find_paths


def test_agentd_home_puts_everything_under_one_folder(home: Path) -> None:
    found = find_paths()
    places = (found.config, found.tasks, found.database, found.models, found.log, found.lock, found.socket)
    assert all(place.is_relative_to(home) for place in places)
    assert len(set(places)) == len(places)


def test_without_it_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AGENTD_HOME")
    for name in ("CONFIG_HOME", "DATA_HOME", "STATE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = find_paths()
    places = (found.config, found.tasks, found.database, found.models, found.log, found.lock, found.socket)
    assert all(place.is_relative_to(tmp_path) and "agentd" in str(place) for place in places)


def test_a_relative_home_stays_where_it_was_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTD_HOME", "here")
    found = find_paths()
    monkeypatch.chdir("/")
    assert found.database == tmp_path / "here" / "agentd.db"


def test_finding_paths_creates_nothing(home: Path) -> None:
    find_paths()
    assert not home.exists()


def test_the_folder_of_the_socket_is_for_its_user_alone(home: Path) -> None:
    found = find_paths()
    found.socket.parent.mkdir(parents=True)
    found.socket.parent.chmod(0o755)
    found.make_folders()
    found.make_folders()
    assert stat.S_IMODE(found.socket.parent.stat().st_mode) == 0o700
    assert found.tasks.is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_no_place_for_the_socket(home: Path) -> None:
    found = find_paths()
    found.make_folders()
    os.chown(found.socket.parent, 12345, 12345)
    with pytest.raises(AgentdError, match="is not yours"):
        found.make_folders()


def test_a_link_is_no_place_for_the_socket(home: Path, tmp_path: Path) -> None:
    found = find_paths()
    home.mkdir()
    found.socket.parent.symlink_to(tmp_path)
    with pytest.raises(AgentdError, match="is not yours"):
        found.make_folders()


@pytest.mark.parametrize("runtime", ["", "/run/user/1", "/" + "r" * 120])
def test_a_socket_path_that_is_too_long_gets_a_short_one_of_its_own(
    runtime: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    sockets = set()
    for name in ("a" * 120, "b" * 120):
        monkeypatch.setenv("AGENTD_HOME", str(tmp_path / name))
        sockets |= {find_paths().socket, find_paths().socket}
    assert len(sockets) == 2
    assert all(len(os.fsencode(path)) <= SOCKET_PATH_LIMIT for path in sockets)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_is_that_of_the_system(extra: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fixed = len(os.fsencode(tmp_path / "x" / "run" / "agentd.sock")) - 1
    name = "x" * (SOCKET_PATH_LIMIT - fixed + extra)
    monkeypatch.setenv("AGENTD_HOME", str(tmp_path / name))
    wanted = tmp_path / name / "run" / "agentd.sock"
    wanted.parent.mkdir(parents=True)
    assert (find_paths().socket == wanted) == (extra == 0)
    with socket.socket(socket.AF_UNIX) as sock:
        if extra:
            with pytest.raises(OSError, match="too long"):
                sock.bind(str(wanted))
        else:
            sock.bind(str(wanted))


def test_the_socket_lies_in_the_runtime_folder_that_systemd_made_for_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AGENTD_HOME")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "agentd"))
    assert find_paths().socket == tmp_path / "agentd" / "agentd.sock"
    # That of another service, which runs agentd, is none of ours.
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "cron"))
    assert not find_paths().socket.is_relative_to(tmp_path / "cron")
