"""The client against a socket that does not behave."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from agentd.cli.client import DaemonClient
from agentd.errors import DaemonFailed, NotRunning
from agentd.paths import Paths

Answer = Callable[[bytes], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
PART = b'{"type":"added","jobs":[1]}\n'


@pytest.fixture
def answer_once(paths: Paths) -> Iterator[Answer]:
    """Take one connection, read its request, send some bytes and hang up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths.socket))
        server.listen()
        threads = []

        def answer(raw: bytes) -> None:
            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(raw)

            threads.append(threading.Thread(target=serve))
            threads[0].start()

        yield answer
        for thread in threads:
            thread.join(10)


def test_where_nobody_listens_there_is_no_daemon(paths: Paths) -> None:
    with pytest.raises(NotRunning):
        DaemonClient(paths).get("/v1/status")


def test_a_daemon_that_goes_away_in_the_middle_is_not_taken_for_none(paths: Paths, answer_once: Answer) -> None:
    answer_once(HEAD + b"%x\r\n%s\r\n" % (len(PART), PART))
    parts = DaemonClient(paths).stream("/v1/run", {})
    assert next(parts) == {"type": "added", "jobs": [1]}
    with pytest.raises(DaemonFailed, match="went away; what it was asked may still be done"):
        next(parts)


def test_a_daemon_that_does_not_answer_in_time_is_not_taken_for_none(paths: Paths) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(paths.socket))
        silent.listen()
        with pytest.raises(DaemonFailed, match="did not answer in time"):
            DaemonClient(paths, seconds=0.1).post("/v1/jobs/rerun-stale")
