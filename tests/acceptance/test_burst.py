"""More files at once than any event queue holds."""

import signal

from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for

FILES = 20_000


def test_twenty_thousand_files_written_while_the_daemon_was_stopped_are_done_once_each(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    for number in range(FILES):
        (daemon.folder / f"{number}.md").write_text(f"# Note {number}\n\nNumber {number} tells of pears.\n")
    daemon.process.send_signal(signal.SIGCONT)
    # Counting 20,000 jobs again and again would slow down what is waited for.
    wait_for(lambda: daemon.query("SELECT max(id) FROM results") == [(FILES,)], 600, f"{FILES} results")
    daemon.check_once_each(FILES)
    assert daemon.status()["duties"][f"watch {daemon.folder} → note-tagging"]["restarts"] == 0
    daemon.stop()
