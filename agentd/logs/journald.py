"""Following the systemd journal through `journalctl`, which runs as a child and is started again when it ends.

The cursor is ours: it comes with every chunk, and whoever commits both together loses no entry and counts none
twice. Units and priorities are picked here, for journalctl drops an entry where a unit and a cursor meet. An entry
becomes a line; lines inside it are indented, so that the rule `indent` gives entries again. What they say is not
known here.
"""

import contextlib
import math
import os
import re
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from agentd.errors import AgentdError, NotFound, Unreadable
from agentd.logs.chunk import CHUNK_BYTES, MAX_LINE, Chunk
from agentd.logs.journal_entry import FIELDS, SOURCE, JournalEntry, parse

COMMAND = ("journalctl",)

_READ = ("--output=json", f"--output-fields={','.join(FIELDS)}", "--no-pager", "--all")
_READ_BYTES = 256 * 1024
_READS = 32  # in one poll: other logs wait meanwhile
_MAX_JSON = 16 * MAX_LINE  # bytes are written as numbers there, so an entry may be far longer than what it says
_MAX_COMPLAINT = 4096  # bytes of journalctl's standard error that are kept
_PASSED = 1000  # after so many entries that nobody wants, the cursor is handed on alone
_RECENT = 1024  # cursors by which an entry that comes again is known
_FIRST_DELAY = 1.0  # seconds until journalctl is started again; doubles up to the next
_LONGEST_DELAY = 60.0
_STEADY_SECONDS = 10.0  # a journalctl that lived for so long is well, even if nobody wrote anything
_SHOW_SECONDS = 10.0

_CURSOR_TIME = re.compile(r"(?:^|;)t=([0-9a-f]{1,15})(?:;|$)")

_DENIED = ("not seeing messages from other users", "insufficient permissions")
_GRANT = "sudo usermod -aG systemd-journal $USER, then log in again"


class JournalFollower:
    """The journal from some point on. Nothing happens between one `poll` and the next, and none of them waits."""

    def __init__(
        self,
        *,
        command: Sequence[str] = COMMAND,
        since: float | None = None,
        cursor: str | None = None,
        units: Sequence[str] = (),
        identifiers: Sequence[str] = (),
        priority: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Go on after `cursor`; without one, begin `since` seconds ago, or now where that is None.

        An entry is taken if it is of one of the `units` (`.service` may be left out) or has one of the
        `identifiers`, or if there are none of both; and if its syslog priority is at most `priority`.
        """
        self.damaged = 0  # entries that journalctl wrote in a way that cannot be read
        self._command = command
        self._since = since
        self._cursor = cursor
        self._units = frozenset(unit if "." in unit else f"{unit}.service" for unit in units)
        self._identifiers = frozenset(identifiers)
        self._priority = priority
        self._clock = clock
        self._began = clock()
        self._due = self._began  # when journalctl may be started
        self._delay = _FIRST_DELAY
        self._child: _Journalctl | None = None
        self._starts = 0
        self._lost = False  # journalctl does not find the cursor
        self._recent = _Recent()
        if cursor:
            self._recent.add(cursor)
        self._lines = _Lines()
        self._batch = _Batch()
        self._ready: deque[Chunk] = deque()
        self._broken: AgentdError | None = None
        self._limited: AgentdError | None = None

    @property
    def problem(self) -> AgentdError | None:
        """Why the journal cannot be read now, or not the whole of it."""
        return self._broken or self._limited

    def fileno(self) -> int | None:
        """What becomes readable when there is something to poll for; None while journalctl does not run."""
        return self._child.fileno() if self._child else None

    def poll(self) -> Iterator[Chunk]:
        """What was written since the last time, as far as journalctl has it ready.

        A chunk without data only carries the cursor on, past entries that were not wanted.
        """
        child = self._child or self._start()
        if not child:
            return
        for _ in range(_READS):
            if not (data := child.read()):
                break
            for line in self._lines.take(data):
                self._take(line)
            yield from self._handed_on()
        self._finish_chunk()
        yield from self._handed_on()
        self._look_after(child, at_end=data == b"")

    def close(self) -> None:
        """End journalctl. What was polled is all there is."""
        if self._child:
            self._child.close()
            self._child = None

    def _handed_on(self) -> Iterator[Chunk]:
        while self._ready:
            yield self._ready.popleft()

    def _start(self) -> "_Journalctl | None":
        if self._clock() < self._due:
            return None
        try:
            self._child = _Journalctl([*self._command, *_READ, "--follow", *self._where()], self._clock())
        except OSError as broken:
            self._broken = _cannot_run(self._command, broken)
            self._wait()
            return None
        self._starts += 1
        self._limited = None
        self._lines = _Lines()
        return self._child

    def _where(self) -> list[str]:
        """Where to begin: at the cursor, at its time where it was lost, or some time ago."""
        if self._cursor and not self._lost:
            return ["--no-tail", f"--after-cursor={self._cursor}"]
        if self._cursor and (found := _CURSOR_TIME.search(self._cursor)):
            seconds, micros = divmod(int(found[1], 16), 1_000_000)
            return ["--no-tail", f"--since=@{seconds}.{micros:06d}"]
        if self._since is None and not self._starts:
            return ["--lines=0"]
        # In whole seconds, and counted from the beginning: nothing was seen yet.
        ago = math.ceil((self._since or 0.0) + self._clock() - self._began)
        return ["--no-tail", f"--since=-{ago}s"]

    def _look_after(self, child: "_Journalctl", *, at_end: bool) -> None:
        complaint = child.complaint()
        if any(words in complaint for words in _DENIED):
            self._limited = Unreadable("only a part of the journal can be read", hint=_GRANT)
        if at_end and (code := child.ended()) is not None:
            # An exit before anything was written is what a cursor that is gone looks like. Its time is not.
            self._lost = self._lost or not self._lines.count
            self._broken = self._limited or Unreadable(
                f"journalctl ended ({_last_line(complaint) or f'exit status {code}'}) and is started again",
                hint="journalctl --verify",
            )
            self.close()
            self._wait()
        elif self._clock() - child.began >= _STEADY_SECONDS:
            self._recover()

    def _wait(self) -> None:
        self._due = self._clock() + self._delay
        self._delay = min(2 * self._delay, _LONGEST_DELAY)

    def _recover(self) -> None:
        self._broken = None
        self._delay = _FIRST_DELAY

    def _take(self, line: bytes | None) -> None:
        entry = parse(line) if line else None
        if entry is None:
            self.damaged += 1
            return
        if entry.cursor in self._recent:
            return
        self._recent.add(entry.cursor)
        self._cursor = entry.cursor
        self._lost = False
        self._recover()
        if not self._wants(entry):
            self._batch.skip(entry.cursor)
            return
        data, left_out = _cut(entry.text)
        if left_out:
            self._finish_chunk()
        self._batch.add(entry.cursor, data)
        if left_out or self._batch.size >= CHUNK_BYTES:
            self._finish_chunk(left_out)

    def _wants(self, entry: JournalEntry) -> bool:
        if self._priority is not None and entry.priority > self._priority:
            return False
        if not self._units and not self._identifiers:
            return True
        return not self._units.isdisjoint(entry.units) or entry.identifier in self._identifiers

    def _finish_chunk(self, left_out: int = 0) -> None:
        batch = self._batch
        if batch.cursors or batch.passed >= _PASSED:
            self._batch = _Batch()
            data, cursors = b"".join(batch.data), tuple(batch.cursors)
            self._ready.append(Chunk(SOURCE, 0, data, batch.mark, cut=left_out, cursors=cursors))


def read_entry(cursor: str, *, command: Sequence[str] = COMMAND) -> str:
    """The entry at that cursor, as it was followed but never cut. Takes up to ten seconds.

    Raises `NotFound` where the journal has it no more, and `Unreadable` where there is no journal to read.
    """
    try:
        shown = subprocess.run(
            [*command, *_READ, f"--cursor={cursor}", "--lines=1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHOW_SECONDS,
            env=_environment(),
            check=False,
        )
    except OSError as broken:
        raise _cannot_run(command, broken) from broken
    except subprocess.TimeoutExpired:
        raise Unreadable(
            f"journalctl did not answer within {_SHOW_SECONDS:g} s", hint="journalctl --verify"
        ) from None
    # journalctl shows the nearest entry where the one that was asked for is gone.
    for line in shown.stdout.splitlines():
        if (entry := parse(line)) and entry.cursor == cursor:
            return entry.text
    complaint = shown.stderr.decode(errors="replace")
    if any(words in complaint for words in _DENIED):
        raise Unreadable("this entry of the journal cannot be read", hint=_GRANT)
    raise NotFound("the journal does not have this entry any more", hint="journalctl --disk-usage")


class _Journalctl:
    """A running journalctl, read without waiting for it."""

    def __init__(self, command: Sequence[str], now: float) -> None:
        """Raises OSError where it cannot be started."""
        self.began = now
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
        )
        assert self._process.stdout and self._process.stderr
        self._out, self._err = self._process.stdout, self._process.stderr
        self._complaint = b""
        for pipe in (self._out, self._err):
            os.set_blocking(pipe.fileno(), False)

    def fileno(self) -> int:
        return self._out.fileno()

    def read(self) -> bytes | None:
        """What it wrote: None where that is nothing yet, and no bytes at its end."""
        return _read(self._out.fileno())

    def complaint(self) -> str:
        """The end of what it wrote to its standard error."""
        while data := _read(self._err.fileno()):
            self._complaint = (self._complaint + data)[-_MAX_COMPLAINT:]
        return self._complaint.decode(errors="replace")

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """End it at once: it keeps nothing that would be lost."""
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._err.close()


class _Lines:
    """Pieces of a stream become lines; of one that is far too long, no more than its place is kept."""

    def __init__(self) -> None:
        self.count = 0
        self._part: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` ends, without their newline; None for one that was too long."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._keep(piece)
            line = b"".join(self._part) if self._size <= _MAX_JSON else None
            self._part, self._size = [], 0
            self.count += 1
            yield line
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= _MAX_JSON:
            self._part.append(piece)
        else:
            self._part.clear()


class _Batch:
    """The entries of the next chunk."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.cursors: list[str] = []
        self.size = 0
        self.passed = 0  # entries among them that nobody wanted
        self.mark = ""  # the cursor of the last one of either kind

    def skip(self, cursor: str) -> None:
        self.passed += 1
        self.mark = cursor

    def add(self, cursor: str, data: bytes) -> None:
        self.mark = cursor
        self.cursors.append(cursor)
        self.data.append(data)
        self.size += len(data)


class _Recent:
    """The last cursors: after a search by time some entries come again."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._cursors: set[str] = set()

    def __contains__(self, cursor: str) -> bool:
        return cursor in self._cursors

    def add(self, cursor: str) -> None:
        self._order.append(cursor)
        self._cursors.add(cursor)
        if len(self._order) > _RECENT:
            self._cursors.discard(self._order.popleft())


def _cut(text: str) -> tuple[bytes, int]:
    """The line or lines as UTF-8, and how many bytes of them were left out."""
    data = text.encode()
    if len(data) <= MAX_LINE:
        return data + b"\n", 0
    kept = data[:MAX_LINE].decode(errors="ignore").encode()
    left_out = len(data) - len(kept)
    return kept + f" …[cut by agentd: {left_out} bytes left out]\n".encode(), left_out


def _read(pipe: int) -> bytes | None:
    with contextlib.suppress(BlockingIOError):
        return os.read(pipe, _READ_BYTES)
    return None


def _environment() -> dict[str, str]:
    # What it complains of is compared with words.
    return {**os.environ, "LC_ALL": "C"}


def _cannot_run(command: Sequence[str], broken: OSError) -> AgentdError:
    if isinstance(broken, FileNotFoundError):
        return Unreadable(
            f"there is no {command[0]} here: the journal is only read on machines with systemd",
            hint="agentd config check",
        )
    return Unreadable(f"{command[0]} cannot be started: {broken.strerror}", hint=f"{command[0]} --version")


def _last_line(complaint: str) -> str:
    return complaint.strip().rpartition("\n")[2]
