"""Programs and files outside agentd that what is configured needs."""

import glob
import os
import platform
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from agentd.actions.notify_settings import DESKTOP
from agentd.doctor.configuration import actions_in_use
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home

_JOURNALS = ("/var/log/journal/*/system.journal", "/run/log/journal/*/system.journal")


def check_python(home: Home) -> Iterator[Diagnosis]:
    """What agentd runs on."""
    yield ok("Python", f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.release()}")


def check_journal(home: Home) -> Iterator[Diagnosis]:
    """Whether the journal can be read, where it is followed."""
    if not any(log.journald is not None for log in home.usable.logs):
        return
    if shutil.which("journalctl") is None:
        yield error("journal", "journalctl is not installed, so there is none", home.edit)
        return
    journals = [Path(file) for pattern in _JOURNALS for file in glob.glob(pattern)]  # noqa: PTH207
    if journals and not any(os.access(file, os.R_OK) for file in journals):
        told = "only your own entries of the journal can be read"
        yield warning("journal", told, "sudo usermod -aG systemd-journal $USER, and log in again")
    else:
        yield ok("journal", "journalctl reads it")


def check_pictures(home: Home) -> Iterator[Diagnosis]:
    """Whether pages that are pictures can be read, where PDFs are taken."""
    if not any(GitIgnoreSpec.from_lines(watch.include).match_file("a.pdf") for watch in home.usable.watch):
        return
    if program := shutil.which("tesseract"):
        yield ok("tesseract", program)
    else:
        told = "is not installed: pages of PDFs that are pictures cannot be read"
        yield warning("tesseract", told, "sudo apt install tesseract-ocr, or brew install tesseract")


def check_notifications(home: Home) -> Iterator[Diagnosis]:
    """Whether there is what shows notifications, where a task or a rule of `notify` wants to."""
    told = any(DESKTOP in rule.to for rule in home.usable.notify.rules)
    if not told and not any(action.kind == "notify" for action in actions_in_use(home)):
        return
    if home.usable.actions.notifications == "off":
        yield ok("notifications", "are off")
        return
    name = "osascript" if sys.platform == "darwin" else "notify-send"
    if program := shutil.which(name):
        yield ok("notifications", program)
    else:
        yield error("notifications", f"{name} is not installed", "sudo apt install libnotify-bin")


def check_commands(home: Home) -> Iterator[Diagnosis]:
    """The programs that tasks may run, and the secrets that sign what webhooks are told."""
    for name, command in home.usable.actions.commands.items():
        program = Path(command.run[0])
        about, hint = f"command {name}", f"ls -l {shlex.quote(str(program))}"
        if not program.is_file():
            yield error(about, f"there is no program {program}", hint)
        elif not os.access(program, os.X_OK):
            yield error(about, f"{program} is not executable for you", f"chmod u+x {shlex.quote(str(program))}")
        else:
            yield ok(about, str(program))
    for name, webhook in home.usable.actions.webhooks.items():
        about, secret = f"webhook {name}", webhook.secret_file
        if secret is None:
            yield ok(about, webhook.url)
        elif not os.access(secret, os.R_OK):
            yield error(about, f"its secret {secret} cannot be read", f"ls -l {shlex.quote(str(secret))}")
        elif secret.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            told = f"others may read its secret {secret}"
            yield warning(about, told, f"chmod 600 {shlex.quote(str(secret))}")
        else:
            yield ok(about, f"{webhook.url}, signed")
