"""Fault 4: more happens at once than the event queue of inotify holds.

Expected outcome: the kernel drops events without a word, and every file is done once all the same, because a scan
is the truth and events are only hints; the duty that watches is not started again.
"""

import signal
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.mark.skipif(not QUEUE.exists(), reason="inotify is of Linux")
def test_files_beyond_the_event_queue_written_while_the_daemon_was_stopped_are_done_once_each(
    daemon: Daemon,
) -> None:
    files = int(QUEUE.read_text()) // 2 + 1000  # each is two events at least: it was made, and it was closed
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    for number in range(files):
        (daemon.folder / f"{number}.md").write_text(f"# Note {number}\n\nNumber {number} tells of pears.\n")
    daemon.process.send_signal(signal.SIGCONT)
    # Counting thousands of jobs again and again would slow down what is waited for.
    wait_for(lambda: daemon.query("SELECT max(id) FROM results") == [(files,)], 600, f"{files} results")
    daemon.check_once_each(files)
    assert daemon.status()["duties"][f"watch {daemon.folder} → note-tagging"]["restarts"] == 0
    daemon.stop()
