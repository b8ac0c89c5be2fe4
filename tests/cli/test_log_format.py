import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from agentd.cli.log_format import JournalLine, JsonLine, TextLine, goes_to_journal


def record(
    message: str, *args: Any, level: int = logging.INFO, error: Exception | None = None
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("agentd.work", level, __file__, 1, message, args, info)


def raised() -> ValueError:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        return error


def test_a_text_line_cannot_be_forged_or_colour_the_terminal() -> None:
    formatter = TextLine("%(levelname)-7s %(message)s")
    line = formatter.format(record("%s is new", "a\n2026-01-01 ERROR \x1b[31mforged"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.startswith("INFO    a\\n2026")


def test_every_line_of_the_journal_has_its_priority() -> None:
    told = JournalLine("%(message)s").format(record("it failed", level=logging.ERROR, error=raised()))
    lines = told.split("\n")
    assert lines[0] == "<3>it failed"
    assert len(lines) > 3, "the traceback follows"
    assert all(line.startswith("<3>") for line in lines)
    assert JournalLine("%(message)s").format(record("<0>file", level=logging.WARNING)) == "<4><0>file"


def test_a_json_line_is_one_object_whatever_it_tells() -> None:
    line = JsonLine().format(record("%s is new", "a\n\x1b[31m\udcff", error=raised()))
    assert line.isascii()
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "a\n\x1b[31m\udcff is new"
    assert (told["level"], told["logger"]) == ("info", "agentd.work")
    assert "ValueError: two\nlines" in told["traceback"]
    assert told["time"].endswith("Z")
    assert "traceback" not in json.loads(JsonLine().format(record("well")))


def test_the_journal_is_known_by_its_stream(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as file:
        found = os.fstat(file.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        assert goes_to_journal(file.fileno(), {"JOURNAL_STREAM": stream})
        assert not goes_to_journal(file.fileno(), {})
        assert not goes_to_journal(sys.__stdout__.fileno() if sys.__stdout__ else 1, {"JOURNAL_STREAM": stream})
    assert not goes_to_journal(-1, {"JOURNAL_STREAM": stream})


def test_an_unknown_format_is_refused(cli: Any) -> None:
    ran = cli("start", "--log-format", "xml")
    assert ran.code == 2
    assert "json" in ran.err
