import os
import signal
import subprocess
import sys

import pytest

from agentd.daemon.lock import hold, running_pid
from agentd.errors import AlreadyRunning
from agentd.paths import Paths

HOLD = """
import sys
from pathlib import Path
from agentd.daemon.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_daemon_is_refused_at_once_with_the_pid_of_the_first(paths: Paths) -> None:
    with hold(paths.lock):
        assert running_pid(paths.lock) == os.getpid()
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"), hold(paths.lock):
            pass
        assert running_pid(paths.lock) == os.getpid()
    assert running_pid(paths.lock) is None
    with hold(paths.lock):
        pass


def test_the_lock_is_free_however_the_daemon_ends(paths: Paths) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(paths.lock)], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert running_pid(paths.lock) == other.pid
        with pytest.raises(AlreadyRunning, match=f"pid {other.pid}"), hold(paths.lock):
            pass
        other.send_signal(signal.SIGKILL)
    assert running_pid(paths.lock) is None
    with hold(paths.lock):
        assert running_pid(paths.lock) == os.getpid()


def test_a_daemon_that_ends_with_an_error_leaves_no_pid(paths: Paths) -> None:
    with pytest.raises(ZeroDivisionError), hold(paths.lock):
        raise ZeroDivisionError
    assert running_pid(paths.lock) is None


@pytest.mark.parametrize("text", ["", "5", "{", '{"pid": 1}', '{"pid": "x", "owner": 5}', "\0"])
def test_a_lock_file_that_makes_no_sense_is_nobodys(paths: Paths, text: str) -> None:
    paths.lock.write_text(text)
    assert running_pid(paths.lock) is None
    with hold(paths.lock):
        assert running_pid(paths.lock) == os.getpid()
