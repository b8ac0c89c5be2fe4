"""The follower child: reads and mines logs apart from the daemon. `python -m agentd.logs.child FD`.

A backlog of gigabytes must not hold the daemon's interpreter. This process sends one delta at a time over the
socket FD and goes on once that is committed; it may be killed at any time, and what it starts from stands in the
database. When the other end of the socket closes, it ends.

    daemon → child                        child → daemon
    {database, logs}   first frame        {type: problems, problems}  by log, whenever they change
                                          {type: delta, delta}
    {}                 it is committed
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from agentd.frames import encode, receive_frame
from agentd.logs.patterns import Ids
from agentd.logs.settings import LogSettings
from agentd.logs.source import LogSource
from agentd.store import logs
from agentd.store.database import read_once
from agentd.store.logs import Delta

IDLE_SECONDS = 0.25
NICE = 5


class Child:
    """Follows logs for the other end of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._problems: dict[str, list[dict[str, str]]] = {}

    def run(self) -> None:
        """Follow the logs that the first frame names, until the socket closes."""
        first = receive_frame(self._socket)
        if first is None:
            return
        sources = _open(Path(first["database"]), [LogSettings.model_validate(one) for one in first["logs"]])
        while self._poll(sources):
            self._tell_problems(sources)
            journals = [number for one in sources if (number := one.fileno()) is not None]
            readable, _, _ = select.select([self._socket.fileno(), *journals], [], [], IDLE_SECONDS)
            if self._socket.fileno() in readable:
                return  # nothing is said to a child that waits for nothing: it has closed

    def _poll(self, sources: list[LogSource]) -> bool:
        """One delta of each log in turn, until none has more; False once nobody takes them."""
        polls: list[Iterator[Delta]] = [source.poll() for source in sources]
        while polls:
            for poll in list(polls):
                found = next(poll, None)
                if found is None:
                    polls.remove(poll)
                elif not self._commit(found):
                    return False
        return True

    def _commit(self, delta: Delta) -> bool:
        self._socket.sendall(encode({"type": "delta", "delta": delta.to_wire()}))
        return receive_frame(self._socket) is not None

    def _tell_problems(self, sources: list[LogSource]) -> None:
        problems = {one.name: [problem.to_wire() for problem in one.problems] for one in sources}
        if problems != self._problems:
            self._problems = problems
            self._socket.sendall(encode({"type": "problems", "problems": problems}))


def _open(database: Path, settings: list[LogSettings]) -> list[LogSource]:
    ids = Ids(read_once(database, logs.next_pattern_id))
    return [LogSource(one, read_once(database, logs.load, one.source), ids) for one in settings]


def main() -> None:
    """Run on the socket whose file descriptor is the only argument."""
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the daemon, which closes the socket when it is done
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        Child(sock).run()


if __name__ == "__main__":
    main()
