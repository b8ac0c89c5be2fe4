"""One entry of the systemd journal, as `journalctl` writes it in JSON, becomes a line like syslog's.

Fields may be text, bytes, several values or missing, and programs write into them what they like. Where entries
come from, and which are wanted, is not known here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SOURCE = "journal"  # what stands where a file has its path
# The fields that are needed, beside the cursor and the time, which always come.
FIELDS = (
    *("MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "SYSLOG_PID", "_HOSTNAME"),
    *("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "UNIT", "USER_UNIT"),
)

_UNITS = ("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT")
_MANAGED = ("UNIT", "USER_UNIT")  # what the service manager's own messages are about
_MANAGER = "systemd"
_DEFAULT_PRIORITY = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Terminal colours, every control character but tab and newline, and halves of characters, which UTF-8 cannot hold.
_UNPRINTABLE = re.compile(r"\x1b\[[0-?]*+[ -/]*+[@-~]|[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What is kept of one entry."""

    cursor: str  # where it stands in the journal
    units: frozenset[str]  # that wrote it, or that it is about
    identifier: str
    priority: int  # syslog's, 0 to 7
    text: str  # a line, or several where the message has several; without the newline at its end


def parse(line: bytes) -> JournalEntry | None:
    """The entry in a line of journalctl's JSON; None where it is damaged."""
    try:
        fields = json.loads(line)
        return _entry(fields) if isinstance(fields, dict) else None
    except (ValueError, OverflowError, RecursionError):
        return None


def _entry(fields: Mapping[str, object]) -> JournalEntry | None:
    """The entry with these fields; None without a cursor that can be asked for again.

    Raises ValueError or OverflowError for a wrong time.
    """
    said = {name: _text(value) for name, value in fields.items()}
    cursor = said.get("__CURSOR", "")
    if not (cursor and cursor.isascii() and cursor.isprintable()):
        return None
    moment = _EPOCH + timedelta(microseconds=int(said.get("__REALTIME_TIMESTAMP", "")))
    level = said.get("PRIORITY", "")
    priority = int(level) if level in tuple("01234567") else _DEFAULT_PRIORITY
    identifier = said.get("SYSLOG_IDENTIFIER") or said.get("_COMM") or "unknown"
    pid = said.get("_PID") or said.get("SYSLOG_PID", "")
    host = "_".join(_printable(said.get("_HOSTNAME", "")).split()) or "-"
    # These end a name in the line, and a few programs have them in theirs.
    tag = re.sub(r"[:\[\]\s]", "_", _printable(identifier)) + (f"[{pid}]" if pid.isdecimal() else "")
    message = _printable(said.get("MESSAGE", "")).rstrip().replace("\n", "\n    ") or "[no message]"
    text = f"<{priority}>{moment.isoformat(timespec='microseconds')} {host} {tag}: {message}"
    managed = _MANAGED if said.get("_COMM") == _MANAGER else ()
    units = frozenset(said[name] for name in (*_UNITS, *managed) if said.get(name))
    return JournalEntry(cursor, units, identifier, priority, text)


def _text(value: object) -> str:
    """A field: text, numbers where it is not text, a list of those where it came more than once, or nothing."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return str(value)
    if value and all(isinstance(item, int) for item in value):
        return bytes(value).decode(errors="replace")
    return "\n".join(map(_text, value))


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("", text)
