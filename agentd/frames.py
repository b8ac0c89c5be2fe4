"""Messages over the socket pair between the daemon and a child: four bytes of length, then JSON.

A length prefix has no trouble with long lines (asyncio's `readline` ends at 64 KiB). What the messages mean is
known to those who talk.
"""

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct(">I")
# A prompt is text of at most a context; this is far beyond any, and bounds what a broken peer can ask for.
MAX_FRAME = 64 * 1024 * 1024

Frame = dict[str, Any]


class BrokenFrame(Exception):
    """The peer sent something that is no frame."""


def encode(frame: Frame) -> bytes:
    """The bytes of one frame; raises `BrokenFrame` where it is too large or too deep."""
    try:
        body = json.dumps(frame, separators=(",", ":")).encode()
    except RecursionError:
        raise BrokenFrame("a frame that is nested too deeply") from None
    if len(body) > MAX_FRAME:
        raise BrokenFrame(f"a frame of {len(body):,} bytes, the largest has {MAX_FRAME:,}")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, or None at the end of the stream."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        _check(length)
        return _decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive_frame(sock: socket.socket) -> Frame | None:
    """The next frame from a blocking socket, or None at its end."""
    head = _receive(sock, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    _check(length)
    body = _receive(sock, length)
    return None if body is None else _decode(body)


def _receive(sock: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = sock.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _check(length: int) -> None:
    if length > MAX_FRAME:
        raise BrokenFrame(f"a frame of {length:,} bytes was announced")


def _decode(body: bytes) -> Frame:
    try:
        frame = json.loads(body)
    except ValueError as broken:
        raise BrokenFrame("a frame is not JSON") from broken
    if not isinstance(frame, dict):
        raise BrokenFrame("a frame is not an object")
    return frame
