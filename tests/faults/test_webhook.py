"""Fault 14: a webhook answers 500, or not in time, or takes the message and drops the line.

Expected outcome: the message is sent again, later, always with the same id, so that who got it twice can tell; it
is applied once it was accepted, and nothing else waits for it. Each bad answer by itself is in
tests/actions/test_webhook.py.
"""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.faults.hurry import end_backoffs
from tests.waiting import wait_for

CONFIG = """\
models:
  main: {{path: fake}}
watch:
  - {{path: "{told}", task: tell, settle: 50ms, apply: auto}}
  - {{path: "{notes}", task: note-tagging, settle: 50ms}}
actions:
  webhooks:
    home: {{url: "http://127.0.0.1:{port}/hook", timeout: 500ms}}
vocabularies:
  tags: [garden]
"""
TASK = """\
---
name: tell
description: Tell of a note
reads: [markdown]
output:
  title: {type: string, maxLength: 80}
actions:
  - webhook: {to: home}
---
Give the note a title.
"""


class Hook:
    """A receiver that fails in every way, in turn, and then accepts."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.over = threading.Event()
        self.failures = [self._refuse, self._say_nothing, self._drop]

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers["Content-Length"]))
        self.ids.append(str(request.headers["webhook-id"]))
        if len(self.ids) <= len(self.failures):
            self.failures[len(self.ids) - 1](request)
        else:
            self._say(request, 200)

    def _refuse(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self._say(request, 500)

    def _say_nothing(self, _: http.server.BaseHTTPRequestHandler) -> None:
        self.over.wait(60)

    def _drop(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.close_connection = True

    def _say(self, request: http.server.BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()


@pytest.fixture
def served() -> Iterator[tuple[int, Hook]]:
    hook = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, hook
    hook.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def told_so(daemon: Daemon) -> tuple[str, str, int]:
    """State, reason and tries of the message."""
    rows = daemon.query("SELECT state, reason, attempts FROM changes WHERE kind = 'webhook'")
    return rows[0] if rows else ("", "", 0)


def test_a_webhook_that_fails_in_every_way_is_told_again_with_one_id(
    make_daemon: MakeDaemon, home: Path, tmp_path: Path, served: tuple[int, Hook]
) -> None:
    port, hook = served
    told = tmp_path / "told"
    told.mkdir()
    daemon = make_daemon(CONFIG.format(told=told, notes=tmp_path / "notes", port=port))
    (home / "tasks").mkdir(exist_ok=True)
    (home / "tasks" / "tell.md").write_text(TASK)
    daemon.start()
    (told / "peas.md").write_text("# Peas\n\nSow them.\n")
    for tries in range(1, 4):
        wait_for(lambda tries=tries: told_so(daemon) == ("planned", "unreachable", tries), 60, f"try {tries}")
        daemon.write(f"meanwhile-{tries}.md")
        daemon.wait_done(1 + tries)
        end_backoffs(daemon)
    wait_for(lambda: told_so(daemon)[0] == "applied", 60, "the message taken")
    assert len(hook.ids) == 4
    assert len(set(hook.ids)) == 1
    assert daemon.query("SELECT count(*) FROM results WHERE task = 'tell'") == [(1,)]
    daemon.stop()
