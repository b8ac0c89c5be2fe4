"""A storm on the socket: hundreds of clients, of which most mean no good.

Expected outcome: who asks properly is served; who does not is refused or cut off, and the log has one line for a
kind of them, not for each of them; the daemon has as much memory, as many descriptors and threads as before; and
a file that is dropped meanwhile gets its result.
"""

import asyncio
import contextlib
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from agentd.paths import Paths
from tests.acceptance.daemon import Daemon
from tests.soak.vitals import MIB, Vitals
from tests.waiting import wait_until

CLIENTS = 200
GET = b"GET /v1/status HTTP/1.1\r\nHost: agentd\r\n\r\n"
POST = b"POST /v1/ask HTTP/1.1\r\nHost: agentd\r\nContent-Length: %d\r\n\r\n"
GIB = 1024**3
PATIENCE = 120.0  # no time that is asserted: an end to the test


class Storm:
    """Clients of one socket, and how they ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = asyncio.Event()
        self.ends: Counter[str] = Counter()

    async def rage(self, *, drip: bool) -> None:
        """Be all the clients at once; the quarter that would wait for ever leaves when the others have ended."""
        lasting = [asyncio.create_task(self._read_slowly()) for _ in range(CLIENTS // 4)]
        third = self._drip_a_header if drip else self._ask_properly
        kinds = (self._ask_properly, third, self._leave_half_a_body)
        others = [kinds[number % 3]() for number in range(CLIENTS - len(lasting))]
        await asyncio.wait_for(asyncio.gather(self._send_a_giant(), self._talk_nonsense(), *others), PATIENCE)
        self._over.set()
        await asyncio.wait_for(asyncio.gather(*lasting), PATIENCE)

    @contextlib.asynccontextmanager
    async def _connected(self):
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            with contextlib.suppress(ConnectionError):
                yield reader, writer
        finally:
            writer.close()

    async def _ask_properly(self) -> None:
        async with self._connected() as (reader, writer):
            writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            answer = await reader.read()
            self.ends["served" if b" 200 " in answer[:20] and answer.endswith(b"}") else "not served"] += 1

    async def _drip_a_header(self) -> None:
        async with self._connected() as (reader, writer):
            writer.write(GET.removesuffix(b"\r\n"))
            ended = asyncio.create_task(reader.read())
            while not ended.done():
                writer.write(b"X-More: 1\r\n")
                await asyncio.wait({ended}, timeout=0.5)
            with contextlib.suppress(ConnectionError):
                assert ended.result() == b""
            self.ends["drip cut off"] += 1

    async def _leave_half_a_body(self) -> None:
        """Say goodbye in the middle: this end is closed for writing, and still reads."""
        async with self._connected() as (reader, writer):
            writer.write(POST % 1000 + b'{"question": ')
            writer.write_eof()
            await reader.read()
        self.ends["half-open ended"] += 1

    async def _read_slowly(self) -> None:
        """Ask for much more than a buffer holds, and read next to nothing of it."""
        async with self._connected() as (reader, writer):
            writer.transport.pause_reading()
            writer.write(GET * 2000)
            await self._over.wait()
            writer.transport.resume_reading()
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
        self.ends["slow reader left"] += 1

    async def _send_a_giant(self) -> None:
        async with self._connected() as (reader, writer):
            writer.write(POST % GIB)
            piece = b" " * MIB
            answer = asyncio.create_task(reader.readuntil(b"\r\n"))
            with contextlib.suppress(ConnectionError):
                for _ in range(GIB // MIB):
                    writer.write(piece)
                    await writer.drain()
                    if answer.done():
                        break
            with contextlib.suppress(ConnectionError):  # closed before it was read
                assert b" 413 " in await answer
        self.ends["giant refused"] += 1

    async def _talk_nonsense(self) -> None:
        for _ in range(20):
            async with self._connected() as (reader, writer):
                writer.write(b"\0\0\0\0\r\n\r\n")
                await reader.read()
            self.ends["nonsense ended"] += 1


async def test_a_storm_of_clients_is_served_or_refused_and_nothing_grows(daemon: Daemon, paths: Paths) -> None:
    process = psutil.Process(daemon.pid)
    vitals = Vitals()
    most = process.num_fds() + 5  # connections to the database are opened as they are needed
    for number, drip in enumerate((False, True)):  # what the first one leaves are buffers that the second one uses
        storm = Storm(paths.socket)
        raging = asyncio.create_task(storm.rage(drip=drip))
        await wait_until(lambda: process.num_fds() > CLIENTS // 2, what="clients")
        daemon.write(f"in-the-storm-{number}.md")
        done = {"done": number + 1}
        await wait_until(lambda done=done: daemon.counts() == done, what="a result in the storm")
        vitals.sample(daemon.pid)
        await raging
        assert storm.ends == {
            "served": 50 if drip else 100,
            **({"drip cut off": 50} if drip else {}),
            "half-open ended": 50,
            "slow reader left": 50,
            "nonsense ended": 20,
            "giant refused": 1,
        }
        await wait_until(lambda: process.num_fds() <= most, what="closed connections")
        vitals.sample(daemon.pid)
    _, calm, storming, after = vitals.samples
    assert storming.anonymous - calm.anonymous < 200 * MIB
    assert after.anonymous - calm.anonymous < 8 * MIB
    assert after.threads <= calm.threads
    warnings = Counter(line.split(" ", 2)[2] for line in daemon.log.splitlines() if " WARNING " in line)
    assert len(warnings) >= 2
    assert set(warnings.values()) == {1}, warnings
    assert "Traceback" not in daemon.log
    daemon.stop()


OTHER_USER = """
import os, socket, sys
os.setuid(12345)
for _ in range(50):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sys.argv[1])
        try:
            sock.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: agentd\\r\\n\\r\\n")
            assert sock.recv(1000) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_who_tries_again_and_again_gets_nothing_and_is_one_line_of_the_log(
    daemon: Daemon, paths: Paths
) -> None:
    # As if somebody had opened every mode on the way: the kernel still knows who is asking.
    paths.socket.chmod(0o666)
    for folder in [paths.socket.parent, *paths.socket.parent.parents]:
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o055)
    words = [sys.executable, "-c", OTHER_USER, str(paths.socket)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert daemon.log.count("refused a connection of user 12345") == 1
    daemon.write("note.md")
    daemon.wait_done(1)
    daemon.stop()
