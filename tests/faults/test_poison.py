"""Fault 5: a job at which the engine child dies each time.

Expected outcome: after three deaths it is quarantined with its reason, and what comes afterwards is done; a person
can have it tried again.
"""

import signal

from tests.acceptance.conftest import MakeDaemon
from tests.faults.hurry import end_backoffs
from tests.waiting import wait_for

TEXT = "Prune the pear tree in February, before the sap rises.\n" * 20


def test_a_job_that_kills_three_children_is_quarantined_and_the_next_is_done(make_daemon: MakeDaemon) -> None:
    # Only a child that has begun a job can be killed by it, and the fake model is too quick to be caught at it.
    daemon = make_daemon(model="starter, threads: 1")
    daemon.start()
    for death in range(1, 4):
        wait_for(lambda: daemon.status()["models"]["main"]["loaded"], 120, "a model")
        child = daemon.child
        idle = child.cpu_times().user
        if death == 1:
            daemon.write("poison.md", TEXT)
        else:
            end_backoffs(daemon)
        wait_for(lambda: daemon.counts().get("running"), 60, "the poison in hand")
        wait_for(lambda child=child, idle=idle: child.cpu_times().user > idle + 0.2, 60, "the child at it")
        child.send_signal(signal.SIGSEGV)
        wait_for(lambda death=death: daemon.query("SELECT crashes FROM jobs") == [(death,)], 60, f"death {death}")
    assert daemon.query("SELECT state, reason FROM jobs") == [("quarantined", "engine-crashed")]
    daemon.write("good.md")
    daemon.wait_done(1)
    ((poison,),) = daemon.query("SELECT id FROM jobs WHERE state = 'quarantined'")
    assert daemon.agentd("jobs", "retry", str(poison)).returncode == 0
    daemon.wait_done(2)
    daemon.stop()
