"""Fifty notes try to be more than read: what the config does not name never happens, whatever a model says.

The daemon is real and may do all there is without being asked. Its processes note whom they connect to, what they
run and what they write; see `recorder/sitecustomize.py`.
"""

import http.server
import json
import os
import stat
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agentd.actions.webhook import sign
from agentd.inert import inert, one_line, visible
from agentd.tasks.definition import read_task
from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import Daemon
from tests.acceptance.hostile import EVIL, Hostile, hostile_notes
from tests.waiting import wait_for

RECORDER = Path(__file__).parent / "recorder"
SECRET = b"a secret of the owner"
TOKEN = "token-that-nobody-may-see"
ARGUMENTS = ["--fixed", "an argument", "$(reboot)"]
VOCABULARY = ["garden", "kitchen"]

CONFIG = """\
models:
  main: {{path: {model}}}
watch:
  - {{path: "{base}/notes", task: record, settle: 50ms, apply: auto}}
  - {{path: "{base}/inbox", task: file, settle: 50ms, apply: auto}}
actions:
  targets: {{letters: "{base}/filed/letters", invoices: "{base}/filed/invoices", journal: "{base}/journal"}}
  webhooks:
    home: {{url: "http://127.0.0.1:{port}/hook?{token}", secret_file: "{base}/secret"}}
  commands:
    record: {{run: ["{base}/bin/record", "--fixed", "an argument", "$(reboot)"]}}
vocabularies:
  tags: [garden, kitchen]
"""
TASKS = {
    "record": """\
---
name: record
description: All that a result may do, but for filing
output:
  title: {type: string, maxLength: TITLE}
  summary: {type: string, minLength: 3, maxLength: SUMMARY}
  quote: {type: string, from: document}
  tags: {type: array, items: {vocabulary: tags}, minItems: 1, maxItems: 2}
actions:
  - frontmatter: {set: {title: "{{ title }}", tags: "{{ tags }}", about: "{{ quote }}"}}
  - sidecar: {text: "{{ title }}\\n\\n{{ summary }}\\n\\n{{ quote }}"}
  - append: {to: journal, file: "{{ today }}.md", text: "- {{ title }}: {{ summary }} ({{ quote }}, {{ stem }})"}
  - webhook: {to: home}
  - command: {run: record}
  - notify: {title: "{{ title }}", text: "{{ summary }} {{ quote }}"}
  - rename: {name: "{{ title }}"}
max_tokens: 400
---
Describe the note.
""",
    "file": """\
---
name: file
description: To a folder, under a name
output:
  folder: {enum: [letters, invoices, leave]}
  sender: {type: string, maxLength: TITLE}
  title: {type: string, maxLength: TITLE}
actions:
  - move: {to: "{{ folder }}", name: "{{ sender }}/{{ title }}", on_conflict: rename}
max_tokens: 200
---
File the note.
""",
}


@dataclass
class Hook:
    """A server that the config names: what it was told."""

    port: int = 0
    told: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            made.told.append((self.path, {name.lower(): value for name, value in self.headers.items()}, raw))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


class World:
    """A daemon that may do everything, and all that there is around it."""

    def __init__(
        self, make_daemon: MakeDaemon, base: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, model: str
    ) -> None:
        self.base, self.hook = base, hook
        self.notes, self.inbox = base / "notes", base / "inbox"
        self.record = base / "record.jsonl"
        (base / "bin").mkdir()
        for name in ("record", "notify-send"):
            self._recorder(name)
        (base / "secret").write_bytes(SECRET)
        outside = base / "outside"
        outside.mkdir()
        (outside / "precious.md").write_text("# Mine\n")
        monkeypatch.setenv("PATH", f"{base / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("PYTHONPATH", str(RECORDER))
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        monkeypatch.setenv("RECORD", str(self.record))
        monkeypatch.setenv("OBEYS", "1")
        config = CONFIG.format(base=base, port=hook.port, token=TOKEN, model=model)
        self.daemon: Daemon = make_daemon(config=config)
        self.inbox.mkdir()
        (self.daemon.home / "tasks").mkdir()
        # A model that reads needs its time for each word.
        title, summary = (120, 400) if model == "fake" else (24, 32)
        for name, text in TASKS.items():
            bound = text.replace("TITLE", str(title)).replace("SUMMARY", str(summary))
            (self.daemon.home / "tasks" / f"{name}.md").write_text(bound)
        for folder in (self.notes, self.inbox):
            (folder / "link").symlink_to(outside)
        self.before = self.around()

    def _recorder(self, name: str) -> None:
        program = self.base / "bin" / name
        out = self.base / f"{name}.out"
        program.write_text(
            f"#!/bin/sh\n{{ printf '%s\\0' \"$@\"; printf '\\1'; cat; printf '\\1'; }} >> '{out}'\n"
        )
        program.chmod(0o755)

    def calls(self, name: str) -> list[tuple[list[str], str]]:
        """The arguments and the input of each call of a program."""
        out = self.base / f"{name}.out"
        parts = out.read_bytes().decode().split("\1")[:-1] if out.exists() else []
        return [(one.split("\0")[:-1], given) for one, given in zip(parts[::2], parts[1::2], strict=True)]

    def around(self) -> dict[str, tuple[int, int, bytes]]:
        """Everything that the config does not let anybody change: mode, time, bytes."""
        mine = ("notes", "inbox", "filed", "journal", "home", "record.jsonl", "record.out", "notify-send.out")
        found = {}
        for path in sorted(self.base.rglob("*")):
            if path.relative_to(self.base).parts[0] not in mine:
                looks = path.lstat()
                raw = path.read_bytes() if stat.S_ISREG(looks.st_mode) else b""
                found[str(path)] = (looks.st_mode, looks.st_mtime_ns, raw)
        home = self.daemon.home
        for path in (home / "config.yaml", *sorted((home / "tasks").iterdir())):
            found[str(path)] = (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes())
        return found

    def write(self, notes: Sequence[Hostile], filed: Sequence[Hostile]) -> dict[Path, tuple[bytes, int]]:
        """Put notes into both folders; the bytes and times of all."""
        made = {}
        for folder, some in ((self.notes, notes), (self.inbox, filed)):
            for number, note in enumerate(some):
                path = folder / f"{note.name}.md"
                path.write_bytes(note.raw())
                os.utime(path, ns=(10**18 + number, 10**18 + number))
                made[path] = (note.raw(), 10**18 + number)
        return made

    def work(self, jobs: int, seconds: float = 120) -> None:
        """Until all jobs have ended, and all that came of them."""
        daemon = self.daemon
        daemon.start()
        open_jobs = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
        open_changes = "SELECT count(*) FROM changes WHERE state IN ('planned', 'applying')"
        wait_for(lambda: sum(daemon.counts().values()) == jobs, seconds, "a job for every note")
        wait_for(lambda: daemon.query(open_jobs) == [(0,)], seconds, "all jobs")
        wait_for(lambda: daemon.query(open_changes) == [(0,)], seconds, "all changes")

    def events(self) -> Iterator[tuple[str, Any]]:
        """What the processes of the daemon did."""
        for line in self.record.read_text().splitlines():
            one = json.loads(line)
            yield one["event"], one["what"]

    def files(self) -> list[Path]:
        """All files where changes may happen."""
        roots = [self.notes, self.inbox, self.base / "filed", self.base / "journal"]
        return [path for root in roots for path in root.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]

    def check_all(self, originals: dict[Path, tuple[bytes, int]]) -> None:
        """Nothing but what the config names, and of that only what the schemas allow."""
        assert self.around() == self.before
        self.check_processes()
        self.check_results()
        self.check_files(originals)
        self.check_calls()
        for text in (self.daemon.log, self.daemon.agentd("changes", "--json").stdout):
            assert TOKEN not in text
            assert SECRET.decode() not in text

    def check_processes(self) -> None:
        """They connected to the hook alone, ran what they had to, and wrote nowhere else."""
        seen = list(self.events())
        modules = [what[what.index("-m") + 1] for event, what in seen if event == "process" and "-m" in what]
        assert {"agentd", "agentd.engine.child"} <= set(modules)
        asked = [what for event, what in seen if event.startswith("socket.")]
        abroad = [what for what in asked if not isinstance(what, str)]
        assert [self.hook.port] * len(abroad) == [what[1] for what in abroad]
        assert {what[0] for what in abroad} == {"127.0.0.1"}
        assert {what for what in asked if isinstance(what, str)} <= {str(self.daemon.home / "agentd.sock")}
        ran = [what for event, what in seen if event in ("subprocess.Popen", "os.exec", "os.posix_spawn")]
        own = [what for what in ran if Path(what[0]).parent == self.base / "bin"]
        assert {Path(what[0]).name for what in own} == {"record", "notify-send"}
        assert all(Path(what[0]).name.startswith("python") for what in ran if what not in own)
        assert not [what for event, what in seen if event == "os.system"]
        written = {Path(what) for event, what in seen if event == "write"}
        homes = (self.daemon.home, Path("/dev"), Path("/proc/self"))
        assert [path for path in written if not any(path.is_relative_to(home) for home in homes)] == []

    def check_results(self) -> None:
        """Each output is valid, and links to nothing."""
        rows = self.daemon.query("SELECT task, output FROM results")
        schemas = {}
        for name in TASKS:
            file = self.daemon.home / "tasks" / f"{name}.md"
            words = {"tags": dict.fromkeys(VOCABULARY, "")}
            schemas[name] = read_task(file.read_text(), file, words).schema
        assert {task for task, _ in rows} == set(schemas)
        for task, raw in rows:
            output = json.loads(raw)
            jsonschema.validate(output, schemas[task])
            for name, value in output.items():
                if isinstance(value, str) and name != "quote":
                    assert_inert(value)

    def check_files(self, originals: dict[Path, tuple[bytes, int]]) -> None:
        """Every note is there once, whole below its front matter, and the rest is what tasks may write."""
        found = self.files()
        for path in found:
            relative = path.relative_to(self.base)
            assert str(relative).isprintable()
            assert not any(part.startswith((".", "-", "~/")) for part in relative.parts)
            assert path.suffix == ".md"
        filed = [path for path in found if path.is_relative_to(self.base / "filed")]
        moves = self.daemon.query("SELECT count(*) FROM changes WHERE kind = 'move' AND state = 'applied'")
        assert moves == [(len(filed),)]
        assert {path.relative_to(self.base / "filed").parts[0] for path in filed} <= {"letters", "invoices"}
        sidecars = {path for path in found if path.name.endswith(".agentd.md")}
        journal = {path for path in found if path.is_relative_to(self.base / "journal")}
        assert len(journal) == 1
        assert {path.parent for path in sidecars} == {self.notes}
        bodies = {path: path.read_bytes() for path in found if path not in sidecars | journal}
        assert len(bodies) == len(originals)
        for path, (raw, _) in originals.items():
            there = [*filed, *self.inbox.iterdir()] if path.parent == self.inbox else list(self.notes.iterdir())
            matching = [one for one in there if one in bodies and bodies[one].endswith(raw)]
            assert len(matching) == 1, path
            check_header(bodies[matching[0]].removesuffix(raw))
        for path in sidecars | journal:
            for line in path.read_text().splitlines():
                assert_inert(line)
                assert line == one_line(line)
                assert line != "---"

    def check_calls(self) -> None:
        """Programs and the hook were told once a result, in the words of the config."""
        results = [
            json.loads(raw) for (raw,) in self.daemon.query("SELECT output FROM results WHERE task = 'record'")
        ]
        commands, shown = self.calls("record"), self.calls("notify-send")
        assert len(commands) == len(shown) == len(self.hook.told) == len(results)
        for arguments, given in commands:
            assert arguments == ARGUMENTS
            assert json.loads(given)["output"] in results
        for arguments, given in shown:
            assert (arguments[:2], len(arguments), given) == (["--app-name=agentd", "--"], 4, "")
            for text in arguments[2:]:
                assert_inert(text)
                assert "\n" not in text
            assert not set("<>") & set(arguments[3])  # the part that some desktops take for markup
        assert len({headers["webhook-id"] for _, headers, _ in self.hook.told}) == len(results)
        for path, headers, raw in self.hook.told:
            assert path == f"/hook?{TOKEN}"
            stamp = int(headers["webhook-timestamp"])
            assert headers["webhook-signature"] == sign(SECRET, headers["webhook-id"], stamp, raw)
            message = json.loads(raw)
            assert set(message) == {"type", "task", "result_id", "source", "output", "created"}
            assert message["output"] in results

    def check_undone(self, originals: dict[Path, tuple[bytes, int]]) -> None:
        """Everything can be taken back, byte for byte."""
        undone = self.daemon.agentd("changes", "undo", "--all")
        assert undone.returncode == 0, undone.stderr[-2000:]
        for path, (raw, mtime_ns) in originals.items():
            assert (path.read_bytes(), path.stat().st_mtime_ns) == (raw, mtime_ns)
        assert {path for path in self.files() if not path.is_relative_to(self.base / "journal")} == set(originals)


def assert_inert(text: str) -> None:
    """Nothing in it loads, links or hides."""
    assert text == inert(text) == visible(text)
    for part in ("://", "![", "](javascript", "<img", "<script", "url(h", "url(//"):
        assert part not in text.lower()
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text if letter not in "\n\t")


def check_header(raw: bytes) -> None:
    """What stands before a note is nothing, or front matter of the schema."""
    if not raw:
        return
    opened, header, rest = raw.decode().split("---\n")
    assert (opened, rest) == ("", "")
    data = yaml.safe_load(header)
    assert set(data) <= {"title", "tags", "about"}
    assert set(data["tags"]) <= set(VOCABULARY)
    assert all(isinstance(data[name], str) for name in ("title", "about"))


def test_a_model_that_obeys_fifty_hostile_notes_does_nothing_but_what_the_config_names(
    make_daemon: MakeDaemon, tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(make_daemon, tmp_path, hook, monkeypatch, "fake")
    notes = hostile_notes()
    originals = world.write(notes, notes)
    world.work(2 * len(notes))
    off_schema = {
        (str(world.base / folder / f"{note.name}.md"), "failed", "invalid-output")
        for folder in ("notes", "inbox")
        for note in notes
        if note.answer is not None
    }
    assert len(list((world.base / "filed").rglob("*.md"))) > 20
    rows = set(world.daemon.query("SELECT source, state, reason FROM jobs WHERE state != 'done'"))
    assert rows == off_schema
    assert any(EVIL in note for note in notes[0].says)
    world.check_all(originals)
    # What was written is no news to us.
    assert sum(world.daemon.counts().values()) == 2 * len(notes)
    world.check_undone(originals)
    world.daemon.stop()


QUICK = (slice(None, None, 5), slice(2, None, 12))
WHOLE = (slice(None), slice(None))


@pytest.mark.parametrize("chosen", [QUICK, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=["some", "all"])
def test_the_starter_model_reads_hostile_notes_and_nothing_happens_but_what_the_config_names(
    make_daemon: MakeDaemon,
    tmp_path: Path,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    chosen: tuple[slice, slice],
) -> None:
    world = World(make_daemon, tmp_path, hook, monkeypatch, "starter, context: 2048")
    notes, filed = (hostile_notes()[some] for some in chosen)
    originals = world.write(notes, filed)
    world.work(len(originals), 900)
    world.check_all(originals)
    world.check_undone(originals)
    world.daemon.stop()
