"""Programs that a change runs: a notification on the desktop, or a command that the config names.

Arguments come from the config alone and go to no shell. What a document or a model said is standard input, or the
text of a notification after `--`.
"""

import json
import shutil
import subprocess
import sys
from typing import Any

from agentd.actions.settings import CommandSettings
from agentd.errors import EffectFailed

NOTIFY_SECONDS = 10.0
_NO_MARKUP = str.maketrans("<>", "‹›")
_SHOW = """on run argv
display notification (item 2 of argv) with title (item 1 of argv)
end run"""


def notify(title: str, text: str) -> None:
    """Show a notification; raises `EffectFailed` where there is nothing that shows one."""
    if sys.platform == "darwin":
        command = ["osascript", "-e", _SHOW, title, text]
    else:
        # Some desktops take the text for markup.
        command = ["notify-send", "--app-name=agentd", "--", title, text.translate(_NO_MARKUP)]
    program = shutil.which(command[0])
    if program is None:
        raise EffectFailed(f"{command[0]} is not installed", hint="apt install libnotify-bin")
    _run([program, *command[1:]], b"", NOTIFY_SECONDS)


def run(settings: CommandSettings, given: dict[str, Any]) -> None:
    """Run a command with JSON on its standard input; raises `EffectFailed` where it fails or takes too long."""
    _run(list(settings.run), json.dumps(given, ensure_ascii=False).encode() + b"\n", settings.timeout)


def _run(command: list[str], given: bytes, seconds: float) -> None:
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=seconds, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired as late:
        raise EffectFailed(f"{command[0]} took more than {seconds:g} s") from late
    except OSError as broken:
        raise EffectFailed(
            f"{command[0]} cannot be run: {broken.strerror}", hint=f"ls -l {command[0]}"
        ) from broken
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EffectFailed(f"{command[0]} ended with {done.returncode}: {said[-1][:200] if said else 'no word'}")
