"""Following the journal: through a stand-in that does what a script says, and once through the real thing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentd.errors import NotFound, Unreadable
from agentd.logs.chunk import MAX_LINE, Chunk
from agentd.logs.journald import JournalFollower, read_entry
from tests.logs.following import Clock
from tests.waiting import wait_for

STANDIN = Path(__file__).with_name("journalctl_standin.py")
SECOND = 1_000_000


def cursor(number: int) -> str:
    return f"s=ab;i={number:x};t={1_780_000_000 * SECOND + number * SECOND:x};x=1"


def entry(number: int, **fields: object) -> str:
    written = {
        "__CURSOR": cursor(number),
        "__REALTIME_TIMESTAMP": str(1_780_000_000 * SECOND + number * SECOND),
        "MESSAGE": f"entry {number}",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "app",
        "_PID": "7",
        "_HOSTNAME": "nas",
        "_SYSTEMD_UNIT": "app.service",
    }
    return json.dumps(written | fields) + "\n"


class Journal:
    """A stand-in, a follower of it, and what it handed on."""

    def __init__(self, folder: Path, *steps: dict[str, object], **options: object) -> None:
        self.folder = folder
        self.clock = Clock()
        self.chunks: list[Chunk] = []
        (folder / "script.json").write_text(json.dumps(steps))
        self.command = [sys.executable, str(STANDIN), str(folder)]
        self.follower = JournalFollower(command=self.command, clock=self.clock, **options)

    @property
    def starts(self) -> list[list[str]]:
        file = self.folder / "starts.jsonl"
        return [json.loads(row)["arguments"] for row in file.read_text().splitlines()] if file.exists() else []

    def poll(self) -> list[Chunk]:
        self.chunks += self.follower.poll()
        return self.chunks

    def messages(self) -> list[str]:
        text = b"".join(chunk.data for chunk in self.chunks).decode()
        return [line.partition(": ")[2] for line in text.splitlines()]

    def read(self, count: int) -> list[str]:
        wait_for(lambda: self.poll() and len(self.messages()) >= count, what=f"{count} entries")
        return self.messages()

    def wait_ended(self, starts: int) -> None:
        """Until the journalctl of that many starts has ended and was seen to."""
        wait_for(lambda: self.poll() is not None and len(self.starts) == starts and self.follower.fileno() is None)

    def wait_started(self, starts: int) -> None:
        self.clock.now += 61
        wait_for(lambda: self.poll() is not None and len(self.starts) == starts)


MakeJournal = Callable[..., Journal]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[MakeJournal]:
    made: list[Journal] = []

    def make(*steps: dict[str, object], **options: object) -> Journal:
        made.append(Journal(tmp_path, *steps, **options))
        return made[-1]

    yield make
    for one in made:
        one.follower.close()


def test_what_was_written_before_is_read_whole(journal: MakeJournal) -> None:
    one = journal({"writes": "".join(map(entry, range(40)))}, since=3600.0)
    assert one.read(40) == [f"entry {number}" for number in range(40)]
    assert "--no-tail" in one.starts[0]
    assert "--since=-3600s" in one.starts[0]
    assert one.chunks[-1].mark == cursor(39)
    assert [key for chunk in one.chunks for key in chunk.cursors] == [cursor(n) for n in range(40)]


def test_without_a_beginning_only_what_is_new_is_read(journal: MakeJournal) -> None:
    one = journal({"writes": entry(1)})
    one.read(1)
    assert "--lines=0" in one.starts[0]


def test_our_own_cursor_is_where_it_goes_on(journal: MakeJournal) -> None:
    one = journal({"writes": entry(6)}, cursor=cursor(5))
    assert one.read(1) == ["entry 6"]
    assert f"--after-cursor={cursor(5)}" in one.starts[0]
    assert "--no-tail" in one.starts[0]


@pytest.mark.parametrize(
    ("message", "said"),
    [(None, "[no message]"), ([104, 105], "hi"), (["one", "two"], "one"), ("", "[no message]")],
)
def test_a_message_may_be_anything(journal: MakeJournal, message: object, said: str) -> None:
    one = journal({"writes": entry(1, MESSAGE=message)})
    assert one.read(1)[0] == said
    assert "--all" in one.starts[0]


def test_a_damaged_line_is_counted_and_the_rest_is_read(journal: MakeJournal) -> None:
    one = journal({"writes": "{nonsense\n" + entry(1) + "[]\n" + entry(2)})
    assert one.read(2) == ["entry 1", "entry 2"]
    assert one.follower.damaged == 2


def test_when_it_ends_it_is_started_again_from_the_cursor_later_each_time(journal: MakeJournal) -> None:
    steps = ({"writes": entry(1), "exits": 0}, {"exits": 1, "complains": "Bad message\n"}, {"writes": entry(2)})
    one = journal(*steps)
    one.wait_ended(1)
    assert one.messages() == ["entry 1"]
    one.poll()
    assert len(one.starts) == 1, "not at once"
    one.clock.now += 1
    one.wait_ended(2)
    assert one.follower.problem is not None
    assert "Bad message" in one.follower.problem.message
    one.clock.now += 1
    one.poll()
    assert len(one.starts) == 2, "twice as long"
    one.wait_started(3)
    assert one.read(2) == ["entry 1", "entry 2"]
    assert f"--after-cursor={cursor(1)}" in one.starts[1]
    assert one.follower.problem is None


def test_a_lost_cursor_falls_back_to_its_time_and_nothing_comes_twice(journal: MakeJournal) -> None:
    one = journal({"exits": 1}, {"writes": entry(5) + entry(6)}, cursor=cursor(5))
    one.wait_ended(1)
    one.wait_started(2)
    assert one.read(1) == ["entry 6"]
    assert "--since=@1780000005.000000" in one.starts[1]


def test_units_are_picked_here_and_the_cursor_moves_past_the_others(journal: MakeJournal) -> None:
    others = "".join(entry(n, _SYSTEMD_UNIT="other.service") for n in range(2, 1500))
    one = journal({"writes": entry(1) + others + entry(1500)}, units=["app"])
    assert one.read(2) == ["entry 1", "entry 1500"]
    assert not any(word.startswith(("-u", "--unit")) for word in one.starts[0])
    assert one.chunks[-1].mark == cursor(1500)


def test_a_cursor_is_handed_on_past_entries_that_nobody_wants(journal: MakeJournal) -> None:
    one = journal({"writes": "".join(entry(n) for n in range(2500))}, identifiers=["nobody"])
    passed = wait_for(one.poll)[0]
    assert (passed.data, passed.cursors) == (b"", ())
    assert passed.mark in {cursor(number) for number in range(999, 2500)}
    assert one.messages() == []


def test_priorities_are_picked(journal: MakeJournal) -> None:
    one = journal({"writes": entry(1, PRIORITY="7") + entry(2, PRIORITY="3") + entry(3)}, priority=4)
    assert one.read(1) == ["entry 2"]


def test_a_long_entry_is_cut_and_stands_alone(journal: MakeJournal) -> None:
    one = journal({"writes": entry(1) + entry(2, MESSAGE="x" * (MAX_LINE + 500)) + entry(3)})
    one.read(3)
    cut = next(chunk for chunk in one.chunks if chunk.cut)
    assert cut.cursors == (cursor(2),)
    assert cut.cut > 500
    assert b"cut by agentd" in cut.data[-80:]
    assert sum(chunk.cut for chunk in one.chunks) == cut.cut


def test_missing_rights_are_told_with_the_command_that_grants_them(journal: MakeJournal) -> None:
    complaint = "Hint: You are currently not seeing messages from other users and the system.\n"
    one = journal({"complains": complaint, "writes": entry(1)})
    problem = wait_for(lambda: one.poll() and one.follower.problem)
    assert "usermod -aG systemd-journal" in problem.hint
    assert one.read(1) == ["entry 1"], "what can be read is read"


def test_without_journalctl_it_says_so_and_tries_again(tmp_path: Path) -> None:
    follower = JournalFollower(command=["no-such-journalctl"], clock=Clock())
    assert list(follower.poll()) == []
    assert follower.problem is not None
    assert "no no-such-journalctl here" in follower.problem.message
    assert follower.fileno() is None


def test_one_entry_is_shown_again(journal: MakeJournal) -> None:
    one = journal({"writes": entry(4), "exits": 0})
    assert read_entry(cursor(4), command=one.command).endswith("app[7]: entry 4")
    with pytest.raises(NotFound):
        read_entry(cursor(5), command=one.command)
    with pytest.raises(Unreadable, match="only read on machines with systemd"):
        read_entry(cursor(4), command=["no-such-journalctl"])


def _has_journal() -> bool:
    if not shutil.which("journalctl"):
        return False
    shown = subprocess.run(["journalctl", "--lines=1", "--output=json"], capture_output=True, check=False)
    return bool(shown.stdout.strip())


@pytest.mark.skipif(not _has_journal(), reason="there is no journal to read here")
def test_the_real_journal_is_read_and_shown() -> None:
    follower = JournalFollower(since=365 * 86400.0)
    try:
        chunk = wait_for(lambda: next((chunk for chunk in follower.poll() if chunk.cursors), None))
    finally:
        follower.close()
    assert read_entry(chunk.cursors[0]).splitlines()[0] == chunk.data.decode().splitlines()[0]
