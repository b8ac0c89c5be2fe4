"""One entry of the journal becomes a line, whatever its fields are."""

import json

import pytest

from agentd.logs.entries import rule
from agentd.logs.journal_entry import JournalEntry, parse

CURSOR = "s=a1;i=2f;b=b1;m=77;t=6443f2d0c5a40;x=9"
FIELDS = {
    "__CURSOR": CURSOR,
    "__REALTIME_TIMESTAMP": "1795504980123456",
    "PRIORITY": "3",
    "_HOSTNAME": "web1",
    "SYSLOG_IDENTIFIER": "sshd",
    "_PID": "812",
    "_SYSTEMD_UNIT": "ssh.service",
    "MESSAGE": "Failed password for root",
}
BEFORE = "<3>2026-11-24T07:23:00.123456+00:00 web1 sshd[812]: "


def line(**changed: object) -> bytes:
    """The entry's JSON with some fields changed, and those without a value left out."""
    return json.dumps({name: value for name, value in {**FIELDS, **changed}.items() if value is not ...}).encode()


def text(**changed: object) -> str:
    found = parse(line(**changed))
    assert found
    return found.text


def test_an_entry_is_read() -> None:
    assert parse(line()) == JournalEntry(
        CURSOR, frozenset({"ssh.service"}), "sshd", 3, f"{BEFORE}Failed password for root"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("plain", "plain"),
        ("", "[no message]"),
        (None, "[no message]"),
        (..., "[no message]"),
        ([], "[no message]"),
        (" \n", "[no message]"),
        (list("Grüße ✓".encode()), "Grüße ✓"),
        ([255, 97], "\ufffda"),
        (["first", "second"], "first\n    second"),
        ([[97, 98], "second", None], "ab\n    second"),
        ("a\nb\r\n\n  c\n", "a\n    b\n    \n      c"),
        ("a\0b\x07\x1b[1;31mred\x1b[0m\x9b\tend", "abred\tend"),
        ("half \ud83d of one", "half  of one"),
    ],
)
def test_a_message_may_be_many_things(message: object, said: str) -> None:
    assert text(MESSAGE=message) == BEFORE + said


@pytest.mark.parametrize(
    ("changed", "before"),
    [
        ({"PRIORITY": ...}, "<6>2026-11-24T07:23:00.123456+00:00 web1 sshd[812]: "),
        ({"PRIORITY": "12"}, "<6>2026-11-24T07:23:00.123456+00:00 web1 sshd[812]: "),
        ({"_PID": ...}, "<3>2026-11-24T07:23:00.123456+00:00 web1 sshd: "),
        ({"_PID": ..., "SYSLOG_PID": "4"}, "<3>2026-11-24T07:23:00.123456+00:00 web1 sshd[4]: "),
        ({"_PID": "1\n2"}, "<3>2026-11-24T07:23:00.123456+00:00 web1 sshd: "),
        ({"SYSLOG_IDENTIFIER": ..., "_COMM": "bash"}, "<3>2026-11-24T07:23:00.123456+00:00 web1 bash[812]: "),
        ({"SYSLOG_IDENTIFIER": ...}, "<3>2026-11-24T07:23:00.123456+00:00 web1 unknown[812]: "),
        ({"SYSLOG_IDENTIFIER": "a b]:\n"}, "<3>2026-11-24T07:23:00.123456+00:00 web1 a_b___[812]: "),
        ({"_HOSTNAME": ...}, "<3>2026-11-24T07:23:00.123456+00:00 - sshd[812]: "),
        ({"__REALTIME_TIMESTAMP": "0"}, "<3>1970-01-01T00:00:00.000000+00:00 web1 sshd[812]: "),
    ],
)
def test_a_field_may_be_missing_or_odd(changed: dict[str, object], before: str) -> None:
    assert text(**changed) == f"{before}Failed password for root"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        line(__CURSOR=...),
        line(__CURSOR="s=\0"),
        line(__REALTIME_TIMESTAMP=...),
        line(__REALTIME_TIMESTAMP="soon"),
        line(__REALTIME_TIMESTAMP="9" * 30),
        line(MESSAGE=[300]),
    ],
)
def test_what_is_damaged_is_no_entry(damaged: bytes) -> None:
    assert parse(damaged) is None


@pytest.mark.parametrize(
    ("changed", "units"),
    [
        ({"_SYSTEMD_USER_UNIT": "app.service"}, {"ssh.service", "app.service"}),
        (
            {"_SYSTEMD_UNIT": "init.scope", "_COMM": "systemd", "UNIT": "nginx.service"},
            {"init.scope", "nginx.service"},
        ),
        ({"UNIT": "nginx.service"}, {"ssh.service"}),  # anybody can say so
        ({"_SYSTEMD_UNIT": ...}, set()),
    ],
)
def test_an_entry_is_of_its_unit_and_of_the_one_that_the_manager_speaks_of(
    changed: dict[str, object], units: set[str]
) -> None:
    found = parse(line(**changed))
    assert found
    assert found.units == units


def test_a_message_of_several_lines_is_one_entry() -> None:
    several = text(MESSAGE="a\n\nb")
    lines = f"{several}\n{text()}".split("\n")
    assert rule("indent").group(lines) == [0, 3]
