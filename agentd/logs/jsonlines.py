"""Lines that are records: JSON objects and logfmt, read by the names that loggers give to their fields.

What is done with a field is not known here: each function tells the parts of a header that a line has.
"""

import json
import re

from agentd.logs import levels

TIMES = ("time", "ts", "timestamp", "@timestamp", "asctime", "datetime")
_LEVELS = ("level", "severity", "lvl", "levelname", "log.level")
_MESSAGES = ("msg", "message", "event", "log")
_OTHERS = {
    "host": ("host", "hostname"),
    "process": ("logger", "name", "service", "process", "app"),
    "pid": ("pid",),
}

# Only after a space: else each letter of a long word would be tried as the first one.
_PAIR = re.compile(r'(?<!\S)([A-Za-z@_][\w.@-]*)=("(?:[^"\\]|\\.)*"|\S*)')


def json_fields(line: str) -> dict[str, str] | None:
    """The parts of a header in a JSON object; None for any other line. With no message it is the whole line."""
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _fields(record, line) if isinstance(record, dict) else None


def logfmt_fields(line: str) -> dict[str, str] | None:
    """The parts of a header in `key=value` pairs; None where the line does not begin with one or has no level."""
    if not _PAIR.match(line):
        return None
    record: dict[str, object] = {key: _unquoted(value) for key, value in _PAIR.findall(line)}
    return _fields(record, line) if _first(record, _LEVELS) else None


def _fields(record: dict[str, object], line: str) -> dict[str, str]:
    found = {part: _first(record, names) for part, names in _OTHERS.items()}
    level = next((record[name] for name in _LEVELS if name in record), "")
    found["level"] = levels.of_number(level) if isinstance(level, int) else str(level)
    found["message"] = _first(record, _MESSAGES) or line
    return found


def _first(record: dict[str, object], names: tuple[str, ...]) -> str:
    """The first of these fields that is a text or a number; in some dialects a name holds a whole object."""
    values = (record.get(name) for name in names)
    return next((str(value) for value in values if value and isinstance(value, str | int)), "")


def _unquoted(value: str) -> str:
    return value[1:-1].replace('\\"', '"') if value.startswith('"') and len(value) > 1 else value
