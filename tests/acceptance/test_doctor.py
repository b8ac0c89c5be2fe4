"""`agentd doctor` beside a daemon that runs, and after one that was killed."""

import json

from tests.acceptance.daemon import Daemon


def told(daemon: Daemon) -> dict[str, str]:
    """By what was looked at, how bad it is; this machine itself may be as it likes."""
    done = daemon.agentd("doctor", "--json")
    assert done.returncode in (0, 1), done.stderr
    return {one["about"]: one["level"] for one in json.loads(done.stdout)["diagnoses"]}


def test_a_running_daemon_is_asked_and_not_disturbed(daemon: Daemon) -> None:
    daemon.write("pears.md")
    found = told(daemon)
    looked_at = ("config", "own folders", "daemon", "socket", "database", "schema")
    assert [found[about] for about in looked_at] == ["ok"] * len(looked_at)
    assert daemon.status()["ready"]


def test_what_a_killed_daemon_left_behind_is_told_and_harms_nothing(daemon: Daemon) -> None:
    daemon.kill()
    wal = daemon.database.with_name("agentd.db-wal").read_bytes()
    before = daemon.database.read_bytes()
    found = told(daemon)
    assert (found["daemon"], found["socket"], found["database"]) == ("warning", "warning", "ok")
    assert daemon.database.read_bytes() == before
    assert daemon.database.with_name("agentd.db-wal").read_bytes() == wal, "it is recovered by the next start"
    daemon.start()
    assert told(daemon)["socket"] == "ok"
