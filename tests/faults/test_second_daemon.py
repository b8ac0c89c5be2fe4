"""Fault 10: a second daemon on one home.

Expected outcome: it is refused at once, with the pid of the first, which does not notice; also by `--detach`.
"""

from tests.acceptance.daemon import Daemon


def test_a_second_daemon_on_the_same_home_is_refused_and_names_the_first(daemon: Daemon) -> None:
    for words in (["start"], ["start", "--detach"]):
        second = daemon.agentd(*words)
        assert second.returncode == 1
        assert second.stderr == (
            f"error: agentd is already running here (pid {daemon.pid})\nnext:  agentd status\n"
        )
    assert daemon.status()["pid"] == daemon.pid
    daemon.stop()
