"""The reader child: parses the files that nobody trusts. `python -m agentd.readers.child FD BYTES`.

It gets open files over the socket FD, one at a time, and sends back their text. It may use BYTES of memory, writes
no file, and ends when nobody has asked for a while or the other end of the socket closes.

    daemon → child                          child → daemon
    one byte with the open file             {type: tick}   after every long step
    {kind, name}                            {type: content, content} or {type: error, error}
"""

import contextlib
import resource
import select
import signal
import socket
import sys
from typing import Any

from agentd.errors import AgentdError, Malformed, ReaderFailed
from agentd.frames import BrokenFrame, Frame, encode, receive_frame
from agentd.readers.formats import read_as

IDLE_SECONDS = 300.0


def serve(sock: socket.socket) -> None:
    """Read what is asked for until nobody asks any more."""
    while select.select([sock], [], [], IDLE_SECONDS)[0]:
        _, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
        if not descriptors:
            return
        with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            asked = receive_frame(sock)
            if asked is None:
                return
            answer = _answer(sock, file, asked)
        try:
            sock.sendall(encode(answer))
        except BrokenFrame as large:
            refused = ReaderFailed(f"{asked['name']} holds too much text: {large}")
            sock.sendall(encode({"type": "error", "error": refused.to_wire()}))


def _answer(sock: socket.socket, file: Any, asked: Frame) -> Frame:
    name = asked["name"]
    try:
        content = read_as(asked["kind"], file, name, lambda: sock.sendall(encode({"type": "tick"})))
        return {"type": "content", "content": content.to_wire()}
    except AgentdError as refused:
        return {"type": "error", "error": refused.to_wire()}
    except MemoryError:
        return {"type": "error", "error": ReaderFailed(f"{name} needs too much memory").to_wire()}
    except RecursionError:
        return {"type": "error", "error": Malformed(f"{name} is nested too deeply").to_wire()}
    except Exception as broken:  # noqa: BLE001 - whatever a parser makes of a bad file is about that file
        told = f"{name} is broken, or of a kind that cannot be read: {type(broken).__name__}: {broken}"
        return {"type": "error", "error": Malformed(told[:500]).to_wire()}


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes and sockets are not files
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and does not keep it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def main() -> None:
    """Run on the socket whose file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the daemon, which closes the socket when it is done
    _limit(int(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as sock, contextlib.suppress(BrokenPipeError, ConnectionError):
        serve(sock)


if __name__ == "__main__":
    main()
