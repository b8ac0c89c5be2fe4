"""In every Python process of a daemon under test: notes whom it talks to, what it runs and what it writes.

Python imports this by itself where its folder is on PYTHONPATH. One line of JSON an event goes to the file RECORD.
With OBEYS set, the fake model of an engine child says what documents tell it to, as far as their schema lets it.
"""

import json
import os
import re
import sys
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {
    "socket.connect": lambda arguments: arguments[1],
    "socket.sendto": lambda arguments: arguments[1],
    "socket.sendmsg": lambda arguments: arguments[1],
    "socket.getaddrinfo": lambda arguments: arguments[:2],
    "socket.gethostbyname": lambda arguments: arguments[0],
    "subprocess.Popen": lambda arguments: arguments[1],
    "os.posix_spawn": lambda arguments: arguments[1],
    "os.exec": lambda arguments: arguments[1],
    "os.system": lambda arguments: arguments[0],
}


def record(path: str) -> None:
    """Write down what this process does from now on."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(event: str, what: Any) -> None:
        line = {"pid": os.getpid(), "event": event, "what": what}
        os.write(file, json.dumps(line, default=os.fsdecode).encode("utf-8", "surrogateescape") + b"\n")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS:
            what = _EVENTS[event](arguments)
            if what is not None:
                note(event, what)
        # A name in an open folder is no path; what stands in the folders afterwards tells of those.
        elif event == "open" and (arguments[2] or 0) & _WRITES and str(arguments[0]).startswith("/"):
            note("write", arguments[0])

    note("process", sys.orig_argv)
    sys.addaudithook(hook)


def obey() -> None:
    """Let the fake model do as it is told."""
    from agentd.engine import fake
    from agentd.model import Generation, Request

    def generate(_: fake.FakeModel, request: Request) -> Generation:
        text = request.messages[-1].content
        answers = re.findall(r"^ANSWER (.*)$", text, re.MULTILINE)
        wishes = [json.loads(wish) for wish in re.findall(r'^SAY (".*")$', text, re.MULTILINE)]
        said = (
            answers[0] if answers else json.dumps(_say(request.schema or {}, wishes or ["nothing"], [len(text)]))
        )
        return Generation(said, "end", 10, 0, 5, 0.01)

    fake.FakeModel._generate = generate  # type: ignore[method-assign]


def _say(schema: dict[str, Any], wishes: list[str], count: list[int]) -> Any:
    """What comes nearest to the wishes and fits the schema; they take turns."""
    count[0] += 1
    if "enum" in schema:
        return schema["enum"][count[0] % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            return {name: _say(kind, wishes, count) for name, kind in schema["properties"].items()}
        case "array":
            return [_say(schema["items"], wishes, count) for _ in range(schema["maxItems"])]
        case "string":
            wish = wishes[count[0] % len(wishes)]
            return (wish + "x" * schema.get("minLength", 0))[: schema["maxLength"]]
    raise AssertionError(f"no words for {schema}")


if path := os.environ.get("RECORD"):
    record(path)
if os.environ.get("OBEYS") and "agentd.engine.child" in sys.orig_argv:
    obey()
