"""Webhooks against real servers that answer badly, slowly, or not at all."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from agentd.actions import webhook
from agentd.actions.settings import WebhookSettings
from agentd.errors import AgentdError, EffectFailed, Unreachable

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKEN = "token-that-nobody-may-see"


def says(text: str) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())
        await writer.drain()

    return answer


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The message was taken, and then the line went dead."""


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not reader.at_eof():
        writer.write(b"x: y\r\n")
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.02)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"x" * 65536)
        await writer.drain()


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads a request and then does that; its port, and what it was sent."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        seen.append(head + await reader.readexactly(length))
        with contextlib.suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def post(port: int, timeout: str = "1s") -> None:
    settings = WebhookSettings.model_validate(
        {"url": f"http://127.0.0.1:{port}/{TOKEN}?{TOKEN}", "timeout": timeout}
    )
    await webhook.post(settings, "id-1", 1614265330, {"a": "é"})


ANSWERS: list[tuple[Answer, type[AgentdError], str]] = [
    (says("HTTP/1.1 500 Oh\nContent-Length: 0\n\n"), Unreachable, "127.0.0.1 answered 500"),
    (says("HTTP/1.1 429 Slow\nContent-Length: 0\n\n"), Unreachable, "answered 429"),
    (says("HTTP/1.1 404 No\nContent-Length: 0\n\n"), EffectFailed, "answered 404, which is final"),
    (
        says("HTTP/1.1 302 There\nLocation: http://127.0.0.1:1/\nContent-Length: 0\n\n"),
        EffectFailed,
        "answered 302, which is final",
    ),
    (says("what?\n\n"), Unreachable, "127.0.0.1 did not answer"),
    (drop, Unreachable, "127.0.0.1 did not answer"),
]


@pytest.mark.parametrize(("answer", "error", "told"), ANSWERS)
async def test_a_bad_answer_is_told_by_host_and_never_by_address(
    answer: Answer, error: type[AgentdError], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(answer) as (port, seen):
        with pytest.raises(error, match=told) as raised:
            await post(port)
    assert len(seen) == 1
    assert TOKEN not in raised.value.message
    assert "INFO" not in {record.levelname for record in caplog.records if record.name.startswith("httpx")}


@pytest.mark.parametrize("answer", [never, drip])
async def test_an_answer_that_takes_too_long_is_given_up_as_a_whole(answer: Answer) -> None:
    async with serving(answer) as (port, _):
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1 did not answer in 0\.2 s"):
            await post(port, "200ms")


async def test_of_an_answer_only_the_status_is_read() -> None:
    async with serving(flood) as (port, seen):
        await post(port, "20s")
    assert b"webhook-id: id-1" in seen[0]
    assert seen[0].endswith('{"a": "é"}'.encode())


async def test_where_nobody_listens_it_is_said_without_the_address() -> None:
    async with serving(drop) as (port, _):
        pass
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 did not answer") as raised:
        await post(port)
    assert TOKEN not in raised.value.message
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), ("whsec_%%%", "begins with whsec_ and is no base64"), (None, "cannot be read")],
)
async def test_a_secret_that_cannot_be_used_is_told_by_file_and_never_by_text(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    secret = tmp_path / "secret"
    if text is not None:
        secret.write_text(text)
    settings = WebhookSettings.model_validate({"url": "http://127.0.0.1:1/", "secret_file": str(secret)})
    with pytest.raises(EffectFailed, match=reason) as raised:
        await webhook.post(settings, "id-1", 1, {})
    assert "%%%" not in raised.value.message
