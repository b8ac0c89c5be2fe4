import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from agentd.api import server
from agentd.api.server import bound_socket, peer_user
from agentd.paths import Paths
from tests.api.conftest import PART, ScriptedDaemon
from tests.waiting import wait_until

GET = b"GET /v1/status HTTP/1.1\r\nHost: agentd\r\n\r\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield reader, writer
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:  # a write that fails tells the reader
        return b""


async def test_the_socket_is_for_its_user_alone_whatever_the_umask(http: httpx.AsyncClient, paths: Paths) -> None:
    assert (await http.get("/v1/status")).status_code == 200
    assert stat.S_ISSOCK(paths.socket.stat().st_mode)
    assert (mode(paths.socket), mode(paths.socket.parent)) == (0o600, 0o700)


def test_a_socket_that_a_dead_daemon_left_is_replaced_and_ours_removed(paths: Paths) -> None:
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(paths.socket))
        with bound_socket(paths.socket):
            assert mode(paths.socket) == 0o600
        assert not paths.socket.exists()
        assert os.umask(0) == 0
    finally:
        os.umask(before)


async def test_a_connection_of_another_user_is_closed_without_an_answer(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.os, "getuid", lambda: 54321)
    async with connected(socket_path) as (reader, writer):
        writer.write(GET)
        assert await read_all(reader) == b""
    monkeypatch.undo()
    async with connected(socket_path) as (reader, writer):
        writer.write(GET)
        assert b"200 OK" in await reader.readline()


OTHER_USER = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
if sys.argv[2] == "late":
    os.chdir(os.path.dirname(sys.argv[1]))
    os.setuid(12345)
    try:
        sock.connect(os.path.basename(sys.argv[1]))
    except PermissionError:
        print("refused by the mode", end="")
else:
    os.setuid(12345)
    sock.connect(sys.argv[1])
    try:
        sock.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: agentd\\r\\n\\r\\n")
        print(sock.recv(1000) or "refused by the peer check", end="")
    except (BrokenPipeError, ConnectionResetError):
        print("refused by the peer check", end="")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("when", "told"), [("late", "refused by the mode"), ("opened", "refused by the peer check")]
)
async def test_a_real_other_user_is_kept_out_by_the_mode_and_by_the_peer_check(
    socket_path: Path, tmp_path: Path, when: str, told: str
) -> None:
    if when == "opened":
        # Even where somebody has opened every mode on the way, the kernel knows who is asking.
        socket_path.chmod(0o666)
        for folder in [socket_path.parent, *socket_path.parent.parents]:
            if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                folder.chmod(folder.stat().st_mode | 0o055)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OTHER_USER, str(socket_path), when],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == (told, 0), done.stderr


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == os.getuid()


@pytest.mark.parametrize("first", [b"", GET], ids=["at once", "after a good request"])
async def test_a_header_that_is_dripped_is_cut_off(
    first: bytes, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.02)

    async with connected(socket_path) as (reader, writer):
        if first:
            writer.write(first)
            assert b"200 OK" in await reader.readuntil(b"}}}")
        writer.write(GET.removesuffix(b"\r\n"))
        dripping = asyncio.create_task(drip(writer))
        assert await read_all(reader) == b""
        dripping.cancel()


@pytest.mark.parametrize("drips", [False, True], ids=["silence", "a drip"])
async def test_a_body_that_never_ends_is_cut_off(
    drips: bool, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while drips:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    async with connected(socket_path) as (reader, writer):
        writer.write(b"POST /v1/ask HTTP/1.1\r\nHost: agentd\r\nContent-Length: 1000000\r\n\r\n{")
        dripping = asyncio.create_task(drip(writer))
        assert await read_all(reader) == b""
        dripping.cancel()


async def test_an_answer_that_takes_longer_than_a_header_is_not_cut_off(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.1)
    with pytest.raises(httpx.ReadTimeout):
        # The stream stays open until the client has had enough of it.
        await http.post("/v1/ask", json={"question": "when?"}, timeout=0.6)


ASK = b'{"question": "everything?"}'


async def test_a_client_that_does_not_read_holds_little_and_is_cut_off(
    socket_path: Path, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.3)
    async with connected(socket_path) as (reader, writer):
        writer.write(b"POST /v1/ask HTTP/1.1\r\nHost: agentd\r\nContent-Length: %d\r\n\r\n%s" % (len(ASK), ASK))
        # This end reads no more than its own buffer takes, and then nothing.
        await asyncio.wait_for(daemon.closed.wait(), 30)
        assert daemon.given * PART < 2 * 1024**2
        assert await read_all(reader) != b""
    async with connected(socket_path) as (reader, writer):
        writer.write(GET)
        assert b"200 OK" in await reader.readline()


async def test_a_client_that_reads_slowly_gets_everything(
    socket_path: Path, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 5.0)
    async with connected(socket_path) as (reader, writer):
        writer.write(b"POST /v1/ask HTTP/1.1\r\nHost: agentd\r\nContent-Length: %d\r\n\r\n%s" % (len(ASK), ASK))
        for _ in range(50):
            assert len(await reader.readexactly(PART)) == PART
            await asyncio.sleep(0)
        assert not daemon.closed.is_set()


@pytest.mark.parametrize("raw", [b"\0\0\0\0\r\n\r\n", b"x" * 100_000])
async def test_what_is_no_http_is_answered_and_closed(socket_path: Path, raw: bytes) -> None:
    async with connected(socket_path) as (reader, writer):
        writer.write(raw)
        assert (await read_all(reader))[:12] in (b"HTTP/1.1 400", b"")


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """The numbers of the signals that reach the program's own handler."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: seen.append(n)) for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_signals_stay_with_the_daemon(signals: list[int], http: httpx.AsyncClient) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
        await wait_until(lambda: signals)
        assert signals.pop() == number
    assert (await http.get("/v1/status")).status_code == 200
