"""How the daemon's log is written on standard error: for a person, the journal or a program, one line a message.

A line holds no control characters: a file name can neither colour the log nor forge a line.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from agentd.cli.start import LogFormat
from agentd.cli.text import printable
from agentd.records import timestamp

STANDARD_ERROR = 2

# syslog(3), by what Python calls it; sd-daemon(3) reads them from the beginning of a line.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# One line a request, a file or an hour belongs to no log that a person reads.
_NOISY = ("uvicorn", "watchdog", "asyncio", "apscheduler", "httpx", "httpcore")


def set_up_log(style: LogFormat) -> None:
    """Write the log on standard error; `auto` is text, with priorities in place of times under the journal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(style))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def goes_to_journal(descriptor: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to this file goes to the journal; see JOURNAL_STREAM in systemd.exec(5)."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _formatter(style: LogFormat) -> logging.Formatter:
    if style == "json":
        return JsonLine()
    if style == "auto" and goes_to_journal(STANDARD_ERROR):
        return JournalLine("%(message)s")
    return TextLine("%(asctime)s %(levelname)-7s %(message)s")


class TextLine(logging.Formatter):
    """A time, a level and a message; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name for it
        """The line, without what would be another."""
        return super().formatMessage(record).replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback, if any, without what a terminal would obey."""
        return printable(super().format(record))


class JournalLine(TextLine):
    """Each line with its priority; the journal knows the time."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, with `<N>` before it and before each line of its traceback."""
        mark = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in super().format(record).split("\n"))


class JsonLine(logging.Formatter):
    """One object a message: `time` (UTC), `level`, `logger`, `message`, and `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, on one line of ASCII."""
        told = {
            "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)
