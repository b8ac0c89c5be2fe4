"""Fault 1: the daemon is killed at random moments.

Expected outcome: every file has exactly one result, as a ledger outside of agentd has it; no kill counts as a try;
no lease is waited for; no child is left behind.
"""

import random
import signal
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.soak.ledger import Ledger
from tests.waiting import wait_for


def random_moment(daemon: Daemon, rng: random.Random, expected: int, most: int) -> None:
    """Wait for a random number of log lines, or for a job to be in hand; then for a few looks more."""
    begin = daemon.log.count("\n")
    if rng.random() < 0.3:
        lines = rng.randrange(3)
        wait_for(lambda: daemon.log.count("\n") - begin >= lines, 60, "log lines")
    else:
        done = daemon.counts().get("done", 0) + rng.randrange(most)
        wait_for(lambda: daemon.counts().get("done", 0) >= min(done, expected), 60, "jobs done")
        # Looked at without a pause: a fake job is over in a few milliseconds.
        wait_for(
            lambda: any(
                counts.get("running", 0) or counts.get("done", 0) >= expected
                for counts in (daemon.counts() for _ in range(100))
            ),
            60,
            "a job in hand",
        )
    for _ in range(rng.randrange(10)):
        daemon.counts()


def kill_while_working(daemon: Daemon, ledger: Ledger, rng: random.Random, *, kills: int, files: int) -> None:
    """Files come in while the daemon is killed and started again; then it may finish."""
    leases: dict[int, str] = {}
    for number in range(kills):
        for index in range(number * files // kills, (number + 1) * files // kills):
            raw = f"# Note {index}\n\nNumber {index} tells of pears.\n"
            path = daemon.folder / f"folder {index % 3}" / f"note-{index}.md"
            ledger.note_content(path, raw.encode())
            daemon.write(str(path.relative_to(daemon.folder)), raw)
        daemon.start(ready=False)
        random_moment(daemon, rng, (number + 1) * files // kills, max(3, 3 * files // kills))
        assert daemon.kill() == -signal.SIGKILL
        leases |= daemon.query_early("SELECT id, lease_until FROM jobs WHERE state = 'running'")
    daemon.start()
    daemon.wait_done(files, 600)
    daemon.check_once_each(files)
    written = ledger.contents()
    assert len(written) == files
    assert dict(written) == {
        (source, content): count
        for source, content, count in daemon.query(
            "SELECT source, content, count(*) FROM results GROUP BY source, content"
        )
    }
    assert leases, "no kill hit a job in hand"
    finished = dict(daemon.query("SELECT id, finished FROM jobs"))
    assert all(finished[job] < lease for job, lease in leases.items()), "a lease was waited for"
    daemon.stop()


def test_fifteen_kills_lose_nothing_and_do_nothing_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    kill_while_working(make_daemon(), Ledger(tmp_path / "ledger.jsonl"), rng, kills=15, files=150)


@pytest.mark.slow
def test_three_hundred_kills_over_five_thousand_jobs_lose_nothing_and_do_nothing_twice(
    make_daemon: MakeDaemon, tmp_path: Path, rng: random.Random
) -> None:
    kill_while_working(make_daemon(), Ledger(tmp_path / "ledger.jsonl"), rng, kills=300, files=5000)


def test_kills_with_a_real_model_lose_nothing_and_leave_no_child(
    make_daemon: MakeDaemon, rng: random.Random
) -> None:
    # Two at a time of four: when the first is done, the last cannot be, and one is in hand for the kill.
    daemon = make_daemon(model="starter, parallel: 2")
    children = []
    for life in range(3):
        for number in range(4):
            daemon.write(f"note-{life}-{number}.md")
        daemon.start()
        children.append(daemon.child)
        daemon.wait_done(daemon.counts().get("done", 0) + rng.randrange(2))
        wait_for(lambda: daemon.counts().get("running", 0), what="a job in hand")
        for _ in range(rng.randrange(1000)):
            daemon.counts()
        daemon.kill()
    daemon.start()
    daemon.wait_done(12)
    daemon.check_once_each(12)
    gone, alive = psutil.wait_procs(children, 10)
    assert len(gone) == 3, alive
    daemon.stop()
