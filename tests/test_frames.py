"""Frames between the supervisor and the engine child."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd import frames
from agentd.frames import BrokenFrame, Frame, encode, read_frame, receive_frame

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.dictionaries(st.text(), VALUES, max_size=4)

# A way to read every frame of some bytes, up to their end.
ReadAll = Callable[[bytes], list[Frame]]


def read_with_asyncio(raw: bytes) -> list[Frame]:
    async def read() -> list[Frame]:
        reader = asyncio.StreamReader()
        reader.feed_data(raw)
        reader.feed_eof()
        found = []
        while (frame := await read_frame(reader)) is not None:
            found.append(frame)
        return found

    return asyncio.run(read())


def read_from_socket(raw: bytes) -> list[Frame]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.sendall(raw)
        ours.shutdown(socket.SHUT_WR)
        found = []
        while (frame := receive_frame(theirs)) is not None:
            found.append(frame)
        return found


@pytest.fixture(params=[read_with_asyncio, read_from_socket], ids=["asyncio", "socket"])
def read_all(request: pytest.FixtureRequest) -> Iterator[ReadAll]:
    yield request.param


@given(st.lists(FRAMES, max_size=3))
@settings(max_examples=40)
def test_frames_arrive_as_they_were_sent_on_either_end(sent: list[Frame]) -> None:
    raw = b"".join(encode(frame) for frame in sent)
    assert read_with_asyncio(raw) == sent
    assert read_from_socket(raw) == sent


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 12])
def test_a_stream_that_ends_inside_a_frame_is_at_its_end(read_all: ReadAll, cut: int) -> None:
    whole = encode({"id": 1, "type": "alive"})
    assert read_all(whole + whole[:cut]) == [{"id": 1, "type": "alive"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"{", "not JSON"), (b"\xff\xfe\xfd", "not JSON"), (b"[1]", "not an object"), (b"", "not JSON")],
)
def test_a_body_that_is_no_object_is_a_broken_frame(read_all: ReadAll, body: bytes, message: str) -> None:
    with pytest.raises(BrokenFrame, match=message):
        read_all(struct.pack(">I", len(body)) + body)


def test_a_length_beyond_the_bound_is_refused_before_anything_is_read(read_all: ReadAll) -> None:
    with pytest.raises(BrokenFrame, match="announced"):
        read_all(struct.pack(">I", frames.MAX_FRAME + 1))


def test_a_frame_beyond_the_bound_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME", 100)
    fits = {"text": "x" * (100 - len(json.dumps({"text": ""}, separators=(",", ":"))))}
    assert len(encode(fits)) == 104
    with pytest.raises(BrokenFrame, match="101 bytes"):
        encode({"text": fits["text"] + "x"})


async def test_a_frame_larger_than_the_socket_buffer_crosses_a_socket_pair() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        _, writer = await asyncio.open_connection(sock=ours)
        frame = {"text": "é" * 500_000}
        writer.write(encode(frame))
        assert await asyncio.to_thread(receive_frame, theirs) == frame
        writer.close()
        await writer.wait_closed()


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Frame = {}
    for _ in range(100_000):
        deep = {"in": deep}
    with pytest.raises(BrokenFrame, match="nested too deeply"):
        encode(deep)
