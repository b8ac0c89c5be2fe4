"""The tuner: a process that measures settings of one model. `python -P -m agentd.engine.tuner FD`.

    daemon or command → tuner                           tuner → daemon or command
    {settings, folder, requests, texts}, one frame      {type: progress, text, done, left}, seconds of each
                                                        {type: done, build, …the fields of Outcome}
                                                        or {type: failed, error}

Like every process that loads a model it may crash, runs at the priority of the engine child, and ends at once when
the other end of the socket closes. Where requests come from and where the choice goes is not known here.
"""

import dataclasses
import faulthandler
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from agentd.engine.child import give_way
from agentd.engine.llama.build import build_identity
from agentd.engine.measure import Bench
from agentd.engine.search import Search
from agentd.engine.settings import ModelSettings
from agentd.errors import AgentdError
from agentd.frames import Frame, encode, receive_frame
from agentd.model import Request


def main() -> None:
    """Search for whoever holds the other end of the socket whose number is the first argument."""
    faulthandler.enable()
    give_way()
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        try:
            _serve(sock)
        except (BrokenPipeError, ConnectionResetError):
            return


def _serve(sock: socket.socket) -> None:
    first = receive_frame(sock)
    if first is None:
        return
    threading.Thread(target=_end_with, args=[sock], daemon=True).start()

    def tell(text: str, done: float, left: float) -> None:
        sock.sendall(encode({"type": "progress", "text": text, "done": done, "left": left}))

    try:
        found = _search(first, tell)
    except AgentdError as error:
        sock.sendall(encode({"type": "failed", "error": error.to_wire()}))
    else:
        sock.sendall(encode(found))


def _search(first: Frame, tell: Callable[[str, float, float], None]) -> Frame:
    requests = TypeAdapter(list[Request]).validate_python(first["requests"])
    bench = Bench(ModelSettings.model_validate(first["settings"]), Path(first["folder"]), first["texts"])
    found = Search(bench, requests, tell).find_best()
    return {"type": "done", "build": build_identity(), **dataclasses.asdict(found)}


def _end_with(sock: socket.socket) -> None:
    """End the process with its socket, even inside llama.cpp."""
    while sock.recv(1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
