"""A real daemon and its schedules: what was missed while it was down, a run that a person asks for, a reload."""

import signal
import sqlite3

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon
from tests.waiting import wait_for

SCHEDULED = """\
schedule:
  - {{task: summarise, name: hourly, cron: "0 * * * *", input: nothing{more}}}
"""


def config(daemon: Daemon, more: str = "") -> None:
    text = CONFIG.format(folder=daemon.folder, model="fake") + SCHEDULED.format(more=more)
    (daemon.home / "config.yaml").write_text(text)


def age(daemon: Daemon, hours: int) -> None:
    """Let it be so long ago that the daemon looked at the clock."""
    connection = sqlite3.connect(daemon.database)
    with connection:
        connection.execute(
            "UPDATE schedules SET looked = strftime('%Y-%m-%dT%H:%M:%fZ', looked, ?)", [f"-{hours} hours"]
        )
    connection.close()


def met(daemon: Daemon) -> bool:
    return bool(daemon.query_early("SELECT 1 FROM schedules"))


def test_three_times_that_a_daemon_missed_are_one_run_and_a_second_start_runs_nothing(
    make_daemon: MakeDaemon,
) -> None:
    daemon = make_daemon()
    config(daemon)
    daemon.start()
    wait_for(lambda: met(daemon))
    daemon.stop()
    before = daemon.query("SELECT count(*) FROM jobs")[0][0]  # an hour may have just begun
    age(daemon, 3)
    daemon.start()
    daemon.wait_done(before + 1)
    shape = daemon.status()["schedules"][0]
    assert (shape["name"], shape["when"], shape["overdue"]) == ("hourly", "cron 0 * * * *", False)
    ((source, origin),) = daemon.query("SELECT source, origin FROM jobs ORDER BY id DESC LIMIT 1")
    assert source.startswith("schedule:hourly ")
    assert origin == "schedule hourly"
    daemon.kill(signal.SIGKILL)
    daemon.start()
    jobs = daemon.query("SELECT occasion FROM jobs")
    assert len(jobs) == len(set(jobs))
    assert len(jobs) <= before + 2


def test_a_person_runs_a_schedule_and_a_reload_takes_it_away(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.start()
    assert "there is no schedule `hourly`" in daemon.agentd("schedule", "run", "hourly").stderr
    config(daemon)
    assert "schedule changed" in daemon.agentd("reload").stderr
    job = daemon.json("schedule", "run", "hourly")
    daemon.wait_done(1)
    (state,) = daemon.json("schedule", "list")
    assert (state["job"], state["state"]) == (job["id"], "waiting")
    (daemon.home / "config.yaml").write_text(CONFIG.format(folder=daemon.folder, model="fake"))
    assert daemon.agentd("reload").returncode == 0
    assert daemon.status()["schedules"] == []
    assert daemon.status()["duties"]["schedules"]["restarts"] == 0
