"""More files at once than any event queue holds."""

import signal

from tests.acceptance.daemon import Daemon

FILES = 20_000


def test_twenty_thousand_files_written_while_the_daemon_was_stopped_are_done_once_each(daemon: Daemon) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    for number in range(FILES):
        (daemon.folder / f"{number}.md").write_text(f"# Note {number}\n\nNumber {number} tells of pears.\n")
    daemon.process.send_signal(signal.SIGCONT)
    daemon.wait_done(FILES, 600)
    daemon.check_once_each(FILES)
    assert daemon.status()["duties"][f"watch {daemon.folder}"]["restarts"] == 0
    daemon.stop()
