import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agentd
from agentd.api.server import bound_socket
from agentd.doctor.running import check_daemon, check_homes, check_socket
from agentd.errors import DaemonFailed
from tests.doctor.conftest import FindHome, levels, told

STATUS: dict[str, Any] = {"pid": 7, "version": agentd.__version__, "ready": True, "problems": []}


def test_a_daemon_that_runs_and_answers_is_well(find: FindHome) -> None:
    assert told(check_daemon(find(status=STATUS, pid=7))) == {"daemon": ("ok", "runs (pid 7) and answers", "")}


def test_no_daemon_and_one_that_is_still_starting_are_warnings(find: FindHome) -> None:
    assert told(check_daemon(find()))["daemon"] == ("warning", "is not running", "agentd start --detach")
    assert levels(check_daemon(find(status=STATUS | {"ready": False}, pid=7))) == {"daemon": "warning"}


def test_a_daemon_of_another_version_is_to_be_started_again(find: FindHome) -> None:
    level, words, hint = told(check_daemon(find(status=STATUS | {"version": "0.0.1"}, pid=7)))["daemon"]
    assert (level, hint) == ("warning", "agentd restart")
    assert words == f"runs version 0.0.1, and {agentd.__version__} is installed"


def test_a_daemon_that_does_not_answer_is_an_error(find: FindHome) -> None:
    home = find(pid=7, silent=DaemonFailed("the daemon did not answer in time"))
    assert told(check_daemon(home))["daemon"][:2] == (
        "error",
        "runs (pid 7), but does not answer: the daemon did not answer in time",
    )


def test_what_the_daemon_says_is_wrong_with_it_is_told_and_an_older_one_says_nothing(find: FindHome) -> None:
    problems = [
        {"key": "model main", "told": "model main failed", "hint": "agentd config path"},
        {"key": "watch /a → tag", "told": "3 files wait", "hint": "agentd doctor"},
    ]
    home = find(status=STATUS | {"problems": problems}, pid=7)
    seen = told(check_daemon(home))
    assert seen["model main"] == ("error", "model main failed", "agentd config path")
    assert seen["watch /a → tag"] == ("warning", "3 files wait", f"tail {home.paths.log}")
    older = {key: value for key, value in STATUS.items() if key != "problems"}
    assert levels(check_daemon(find(status=older, pid=7))) == {"daemon": "ok"}


def test_a_socket_is_for_this_user_alone_and_somebody_listens(find: FindHome) -> None:
    home = find()
    assert levels(check_socket(home)) == {"socket": "ok"}
    with bound_socket(home.paths.socket):
        assert told(check_socket(home))["socket"] == ("ok", f"{home.paths.socket}, for you alone", "")
        home.paths.socket.chmod(0o666)
        assert told(check_socket(home))["socket"] == (
            "error",
            f"{home.paths.socket} has mode 0666, not 0600",
            f"chmod 600 {home.paths.socket}",
        )


def test_a_socket_that_a_daemon_left_when_it_died_is_a_warning(find: FindHome) -> None:
    home = find()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(os.fspath(home.paths.socket))
    sock.close()
    home.paths.socket.chmod(0o600)
    level, words, hint = told(check_socket(home))["socket"]
    assert (level, hint) == ("warning", "agentd start --detach")
    assert "left behind by a daemon that died" in words


def test_a_file_in_place_of_the_socket_and_a_socket_that_is_gone_are_errors(find: FindHome) -> None:
    home = find(pid=7)
    assert told(check_socket(home))["socket"][::2] == ("error", "agentd restart")
    home.paths.socket.write_text("")
    assert told(check_socket(home))["socket"][:2] == ("error", f"{home.paths.socket} is no socket")


def test_another_home_with_a_database_is_a_warning(
    find: FindHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agentd.doctor.running._other_daemons", lambda besides: [])
    monkeypatch.setattr("agentd.doctor.running.platformdirs.user_data_path", lambda name: tmp_path / name)
    home = find()
    assert told(check_homes(home)) == {"home": ("ok", f"{os.environ['AGENTD_HOME']} (AGENTD_HOME)", "")}
    (tmp_path / "agentd").mkdir()
    (tmp_path / "agentd" / "agentd.db").write_text("")
    assert told(check_homes(home))["home"][0] == "warning"


def test_another_daemon_of_this_user_is_found_with_its_home(find: FindHome, tmp_path: Path) -> None:
    # A process with the command line of a daemon: what is looked at is only that.
    program = tmp_path / "agentd"
    program.write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    other = subprocess.Popen(
        [sys.executable, program, "start"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"AGENTD_HOME": "/elsewhere"},
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "up\n"
        words = f"another daemon of yours runs (pid {other.pid}), at home in /elsewhere"
        home = find()
        assert words in [one.told for one in check_homes(home)]
        assert words not in [one.told for one in check_homes(find(pid=other.pid))], "this home's own is no other"
    finally:
        other.stdin.close()
        other.wait(30)
        other.stdout.close()
