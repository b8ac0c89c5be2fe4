"""Headers: each format is recognised from its own lines, and what it cannot read stays whole."""

import csv
from pathlib import Path

import pytest

from agentd.errors import ConfigError
from agentd.logs.headers import Header, recognise

LOGHUB = Path(__file__).parents[3] / "shared" / "data" / "loghub"

# A line in each format, and what it says: stamp, host, process, pid, level, message.
LINES = {
    "syslog": (
        "Jun  4 15:16:01 combo sshd(pam_unix)[19939]: session opened for user root",
        ("Jun  4 15:16", "combo", "sshd(pam_unix)", "19939", "", "session opened for user root"),
    ),
    "syslog-priority": (
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick",
        ("Oct 11 22:14", "mymachine", "su", "", "fatal", "'su root' failed for lonvick"),
    ),
    "rfc5424": (
        '<165>1 2003-10-11T22:14:15.003Z web evntslog 12 ID47 [exampleSDID@32473 iut="3"] An application event',
        ("2003-10-11T22:14Z", "web", "evntslog", "12", "notice", "An application event"),
    ),
    "syslog-iso": (
        "2026-03-01T04:05:06.789012+01:00 nas systemd[1]: Started Daily apt activities.",
        ("2026-03-01T04:05+01:00", "nas", "systemd", "1", "", "Started Daily apt activities."),
    ),
    "syslog-iso-priority": (
        "<3>2026-03-01T04:05:06.789012+00:00 nas kernel: Out of memory",
        ("2026-03-01T04:05+00:00", "nas", "kernel", "", "error", "Out of memory"),
    ),
    "apache-error": (
        "[Sun Dec 04 04:51:08 2005] [error] mod_jk child workerEnv in error state 6",
        ("Dec 04 04:51 2005", "", "", "", "error", "mod_jk child workerEnv in error state 6"),
    ),
    "access": (
        '10.0.0.9 - - [10/Oct/2025:13:55:36 -0700] "GET /a.gif HTTP/1.1" 502 2326 "-" "curl/8"',
        ("10/Oct/2025:13:55 -0700", "10.0.0.9", "", "", "error", '"GET /a.gif HTTP/1.1" 502'),
    ),
    "nginx-error": (
        "2026/03/01 10:00:00 [crit] 77#77: *5 connect() failed",
        ("2026/03/01 10:00", "", "", "77", "fatal", "connect() failed"),
    ),
    "log4j": (
        "2015-10-18 18:01:47,978 WARN [main] org.apache.hadoop.MRAppMaster: Created",
        ("2015-10-18 18:01", "", "org.apache.hadoop.MRAppMaster", "", "warn", "Created"),
    ),
    "logback-without-date": (
        "10:15:30.123 [main] ERROR com.acme.Main - It broke",
        ("", "", "com.acme.Main", "", "error", "It broke"),
    ),
    "spring-boot": (
        "2026-03-01T10:00:00.000+01:00  INFO 41 --- [main] c.acme.Main  : Started Main",
        ("2026-03-01T10:00+01:00", "", "c.acme.Main", "41", "info", "Started Main"),
    ),
    "python": (
        "2026-03-01 10:00:00,123 - app.db - ERROR - connection refused",
        ("2026-03-01 10:00", "", "app.db", "", "error", "connection refused"),
    ),
    "python-basic": ("WARNING:root:disk is filling", ("", "", "root", "", "warn", "disk is filling")),
    "json": (
        '{"ts": "2026-03-01T10:00:00Z", "level": "error", "host": "a", "pid": 7, "msg": "it broke"}',
        ("2026-03-01T10:00Z", "a", "", "7", "error", "it broke"),
    ),
    "logfmt": (
        'ts=2026-03-01T10:00:00Z level=warn msg="slow query" took=3s',
        ("2026-03-01T10:00Z", "", "", "", "warn", "slow query"),
    ),
    "kernel": (
        "[   12.345678] usb 1-1: device descriptor read/64, error -71",
        ("", "", "", "", "", "usb 1-1: device descriptor read/64, error -71"),
    ),
    "glog": (
        "E0301 10:00:00.123456  4242 server.cc:42] bind failed",
        ("0301 10:00", "", "server.cc", "4242", "error", "bind failed"),
    ),
    "logcat": (
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezing",
        ("03-17 16:13", "", "WindowManager", "1702", "debug", "printFreezing"),
    ),
    "container": (
        "2026-03-01T10:00:00.123456789Z stderr F panic: boom",
        ("2026-03-01T10:00Z", "", "", "", "", "panic: boom"),
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_format_is_recognised_from_its_lines(name: str) -> None:
    line, said = LINES[name]
    recognised = recognise([line] * 5)
    assert recognised.name == name
    assert recognised.parse(line) == Header(*said)


@pytest.mark.parametrize("sample", [[], ["", " "], ["# notes", "of a person", "who keeps no log"]])
def test_what_is_no_known_format_is_plain(sample: list[str]) -> None:
    recognised = recognise(sample)
    assert recognised.name == "plain"
    assert recognised.parse("any line") is None
    assert recognised.stamps(["any line", ""]) == ["", ""]


def test_a_format_that_reads_most_lines_wins_over_one_that_reads_some() -> None:
    sample = [LINES["syslog"][0]] * 9 + [LINES["json"][0]]
    assert recognise(sample).name == "syslog"


def test_a_line_in_another_format_is_not_parsed() -> None:
    assert recognise([LINES["syslog"][0]]).parse("\tat com.acme.Main.main(Main.java:5)") is None


def test_an_entry_of_many_lines_is_one_message() -> None:
    log4j = recognise([LINES["log4j"][0]])
    entry = log4j.parse(LINES["log4j"][0] + "\n\tat a.b(C.java:1)\n")
    assert entry is not None
    assert entry.message == "Created\n\tat a.b(C.java:1)"


@pytest.mark.parametrize(
    ("message", "repeats", "inner"),
    [
        ("message repeated 5 times: [ Failed password for root]", 5, "Failed password for root"),
        ("last message repeated 2 times", 2, ""),
        ("--- last message repeated 1 time ---", 1, ""),
        ("the job was repeated 3 times", 1, "the job was repeated 3 times"),
    ],
)
def test_a_repeated_message_says_how_often(message: str, repeats: int, inner: str) -> None:
    read = recognise([LINES["syslog"][0]]).parse(f"Jun  4 15:16:01 combo sshd[7]: {message}")
    assert read is not None
    assert (read.repeats, read.message) == (repeats, inner)


def test_a_format_of_ones_own_is_a_regex_with_named_groups() -> None:
    own = recognise([], r"(?P<level>\w+)\|(?P<time>[^|]*)\|(?P<process>\w+)\|(?P<message>.*)")
    assert own.parse("ERR|2026-03-01 10:00:09|db|it broke") == Header(
        "2026-03-01 10:00", "", "db", "", "error", "it broke"
    )
    assert own.stamps(["ERR|2026-03-01 10:00:09|db|x", "nonsense"]) == ["2026-03-01 10:00", ""]


@pytest.mark.parametrize(
    ("regex", "complaint"),
    [("(", "not a regular expression"), (r"(?P<time>x)", "no group"), (r"(?P<message>x)(?P<leve>y)", "'leve'")],
)
def test_a_format_of_ones_own_that_cannot_be_used_is_an_error(regex: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        recognise([], regex)


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="the labelled logs are not here")
@pytest.mark.parametrize("log", sorted(LOGHUB.glob("*/*_2k.log")), ids=lambda log: log.stem)
def test_the_headers_of_labelled_logs_come_off(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()
    with log.with_name(log.name + "_structured.csv").open(errors="replace") as table:
        contents = [row["Content"].strip() for row in csv.DictReader(table)]
    recognised = recognise(lines[:200])
    read = [recognised.parse(line) for line in lines]
    right = sum(
        header is not None and header.message == content for header, content in zip(read, contents, strict=True)
    )
    assert right >= 0.98 * len(lines)  # the rest say that a message was repeated
    stamps = recognised.stamps(lines)
    assert stamps == [header.stamp for header in read if header]


def test_hostile_lines_take_no_time_that_grows_faster_than_they() -> None:
    for name, (line, _) in LINES.items():
        recognised = recognise([line])
        for hostile in ("[" * 50_000, "a=" * 50_000, line[:20] + "x" * 100_000, '{"a":' * 20_000, " " * 100_000):
            header = recognised.parse(hostile)
            assert header is None or header.message is not None, name
