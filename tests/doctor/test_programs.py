import os
from pathlib import Path

import pytest

from agentd.doctor import programs
from agentd.doctor.programs import (
    check_commands,
    check_journal,
    check_notifications,
    check_pictures,
    check_python,
)
from tests.doctor.conftest import FAKE, FindHome, levels, told

NOTIFYING = """\
---
name: tell
description: tells
output: {a: {type: string, maxLength: 5}}
actions:
  - notify: {title: "{{ a }}"}
---
Do it.
"""


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH of one folder, with nothing in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_what_agentd_runs_on_is_told(find: FindHome) -> None:
    assert levels(check_python(find())) == {"Python": "ok"}


def test_the_journal_matters_only_where_it_is_followed(find: FindHome, empty_path: Path) -> None:
    assert levels(check_journal(find())) == {}
    home = find(f"{FAKE}logs: [{{journald: {{}}}}]\n")
    assert levels(check_journal(home)) == {"journal": "error"}


def test_a_journal_of_which_only_ones_own_entries_can_be_read_is_a_warning(
    find: FindHome, empty_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(empty_path, "journalctl")
    home = find(f"{FAKE}logs: [{{journald: {{}}}}]\n")
    (tmp_path / "system.journal").write_text("")
    monkeypatch.setattr(programs, "_JOURNALS", (f"{tmp_path}/*.journal",))
    assert levels(check_journal(home)) == {"journal": "ok"}
    monkeypatch.setattr("agentd.doctor.programs.os.access", lambda file, how: bool(how & os.X_OK))
    assert levels(check_journal(home)) == {"journal": "warning"}


def test_tesseract_matters_only_where_pdfs_are_taken(find: FindHome, empty_path: Path) -> None:
    assert levels(check_pictures(find(f"{FAKE}watch: [{{path: /a, task: summarise}}]\n"))) == {}
    home = find(f"{FAKE}watch: [{{path: /a, task: summarise, include: ['*.pdf']}}]\n")
    assert levels(check_pictures(home)) == {"tesseract": "warning"}
    put_program(empty_path, "tesseract")
    assert levels(check_pictures(home)) == {"tesseract": "ok"}


def test_notify_send_matters_only_where_a_task_in_use_shows_notifications(
    find: FindHome, empty_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentd.doctor.programs.sys.platform", "linux")
    watch = "watch: [{path: /a, task: tell}]\n"
    home = find(FAKE)
    (home.paths.tasks / "tell.md").write_text(NOTIFYING)
    assert levels(check_notifications(home)) == {}
    assert levels(check_notifications(find(FAKE + watch))) == {"notifications": "error"}
    off = find(f"{FAKE}{watch}actions: {{notifications: 'off'}}\n")
    assert told(check_notifications(off)) == {"notifications": ("ok", "are off", "")}
    put_program(empty_path, "notify-send")
    assert levels(check_notifications(find(FAKE + watch))) == {"notifications": "ok"}


def test_a_command_must_be_there_and_executable(find: FindHome, tmp_path: Path) -> None:
    put_program(tmp_path, "good")
    (tmp_path / "plain").write_text("")
    commands = ", ".join(f"{name}: {{run: [{tmp_path}/{name}]}}" for name in ("good", "plain", "gone"))
    seen = told(check_commands(find(f"{FAKE}actions: {{commands: {{{commands}}}}}\n")))
    assert seen["command good"] == ("ok", f"{tmp_path}/good", "")
    assert seen["command plain"][::2] == ("error", f"chmod u+x {tmp_path}/plain")
    assert seen["command gone"][:2] == ("error", f"there is no program {tmp_path}/gone")


def test_a_secret_must_be_readable_and_for_nobody_else(find: FindHome, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    url = "url: 'https://example.org/hook'"
    hooks = f"{{open: {{{url}}}, signed: {{{url}, secret_file: {secret}}}}}"
    home = find(f"{FAKE}actions: {{webhooks: {hooks}}}\n")
    assert levels(check_commands(home)) == {"webhook open": "ok", "webhook signed": "error"}
    secret.write_text("s")
    secret.chmod(0o644)
    assert told(check_commands(home))["webhook signed"][::2] == ("warning", f"chmod 600 {secret}")
    secret.chmod(0o600)
    assert told(check_commands(home))["webhook signed"] == ("ok", "https://example.org/hook, signed", "")
