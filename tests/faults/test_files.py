"""Faults 8 and 9: files that come, go and change while the daemon is down, or while the model reads them.

Expected outcome: what came and what was edited is done once, as it is now; what was only moved takes its result
along; an answer to a text that is not there any more is dropped, and the file is queued again.
"""

import signal

from tests.acceptance.daemon import Daemon
from tests.waiting import wait_for


def test_what_happens_to_files_while_the_daemon_is_down_is_done_once_at_the_next_start(daemon: Daemon) -> None:
    stays, edited, moved, goes = (daemon.write(f"{name}.md") for name in ("stays", "edited", "moved", "goes"))
    daemon.wait_done(4)
    assert daemon.kill() == -signal.SIGKILL
    came = [daemon.write(f"deep/er/came-{number}.md") for number in range(50)]
    edited.write_text("# Edited\n\nAnd tells of plums.\n")
    renamed = moved.rename(daemon.folder / "renamed.md")
    goes.unlink()
    daemon.start()
    wait_for(lambda: daemon.counts().get("done") == 4 + 50 + 1, 120, f"{daemon.counts()}")
    results = dict(daemon.query("SELECT source, count(*) FROM results GROUP BY source"))
    assert results == {
        **{str(path): 1 for path in (stays, renamed, goes, *came)},
        str(edited): 2,
    }
    latest = "SELECT content FROM results WHERE source = ? ORDER BY id DESC LIMIT 1"
    ((text,),) = daemon.query(f"SELECT text FROM documents WHERE content = ({latest})", [str(edited)])
    assert text == "# Edited\n\nAnd tells of plums.\n"
    daemon.stop()


def test_a_file_edited_while_the_model_reads_it_is_done_as_it_is_now(daemon: Daemon) -> None:
    child = daemon.child
    child.suspend()
    note = daemon.write("note.md", "# Before\n")
    wait_for(lambda: daemon.counts().get("running", 0))
    note.write_text("# After, and longer\n")
    wait_for(lambda: sum(daemon.counts().values()) == 2)
    child.resume()
    wait_for(lambda: daemon.counts() == {"done": 1, "cancelled": 1}, what=f"{daemon.counts()}")
    assert daemon.query("SELECT reason FROM jobs WHERE state = 'cancelled'") == [("superseded",)]
    assert daemon.query("SELECT text FROM documents") == [("# After, and longer\n",)]
    daemon.stop()
