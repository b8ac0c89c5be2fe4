"""Entries of several lines: what belongs together, while it is written and afterwards."""

import itertools
import re
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.errors import ConfigError
from agentd.logs import entries
from agentd.logs.entries import Rule, rule, summary

LOGGED = [
    "2026-11-24 07:23:00 ERROR sync failed",
    "Traceback (most recent call last):",
    '  File "/srv/app/sync.py", line 12, in run',
    "    return rows[key]",
    "KeyError: 'alice'",
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "/srv/app/main.py", line 3, in <module>',
    "    run()",
    "app.errors.SyncFailed: no row for alice",
]
GROUP = [
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "/srv/app/main.py", line 3, in <module>',
    "  |     raise ExceptionGroup",
    "  | ExceptionGroup: two tasks failed (2 sub-exceptions)",
    "  +-+---------------- 1 ----------------",
    "    | ValueError: a",
    "    +---------------- 2 ----------------",
    "    | TypeError: b",
    "    +------------------------------------",
]
JAVA = [
    "2026-11-24 07:23:00 ERROR c.e.Orders - order 7 failed",
    "java.lang.IllegalStateException: no stock",
    "\tat com.example.Orders.place(Orders.java:41)",
    "\tSuppressed: java.io.IOException: close",
    "\t\tat com.example.Orders.close(Orders.java:80)",
    "Caused by: java.sql.SQLException: timeout",
    "\tat com.example.Db.query(Db.java:7)",
    "\t... 23 more",
    "Caused by: java.net.ConnectException: refused",
    "\tat java.net.Socket.connect(Socket.java:1)",
    "\t... 31 common frames omitted",
]
NODE = [
    "Error: ENOENT: no such file or directory, open 'x'",
    "    at Object.openSync (node:fs:601:3) {",
    "  errno: -2,",
    "}",
]
GO = [
    "panic: runtime error: index out of range [5] with length 3",
    "",
    "goroutine 1 [running]:",
    "main.(*Server).handle(0xc000012345, 0x1)",
    "\t/srv/app/main.go:8 +0x1d",
    "created by main.main",
    "\t/srv/app/main.go:3 +0x99",
]
PLAIN = ["2026-11-24 07:23:01 INFO started", "INFO: request from 10.0.0.1", "done"]
ODD = [
    "  indented",
    "\tat nowhere",
    "}",
    "call(me)",
    "}\r",
    "\r",
    "caf\xe9 au lait",
    "goroutine 8 [idle]:",
    "x: y",
]
LINES = [*LOGGED, *GROUP, *JAVA, *NODE, *GO, *PLAIN, *ODD]

RULES = [*entries.NAMES, r"start: \d{4}-", "start: [a-z]+$"]


def of(name: str, lines: list[str]) -> list[list[str]]:
    """The lines, grouped into entries."""
    begins = rule(name).group(lines)
    return [lines[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)]


def followed(by: Rule, batches: Iterable[bytes]) -> list[list[str]]:
    """The entries of lines that arrive in batches, as a follower takes them: up to the boundary, then the rest."""
    taken: list[list[str]] = []
    waiting = b""
    for batch in batches:
        waiting += batch
        if waiting:
            ready = by.boundary(waiting)
            taken += split(by, waiting[:ready])
            waiting = waiting[ready:]
    return taken + split(by, waiting)


def split(by: Rule, data: bytes) -> list[list[str]]:
    lines = data.decode(errors="replace").split("\n")[:-1]
    begins = by.group(lines)
    return [lines[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)] if lines else []


@pytest.mark.parametrize("whole", [LOGGED, JAVA, NODE, GO], ids=["python", "java", "node", "go"])
def test_auto_keeps_a_trace_together_and_apart_from_its_neighbours(whole: list[str]) -> None:
    assert of("auto", [PLAIN[0], *whole, PLAIN[0], PLAIN[1]]) == [[PLAIN[0]], whole, [PLAIN[0]], [PLAIN[1]]]


def test_a_preset_knows_its_own_language_only() -> None:
    assert of("python", LOGGED) == [LOGGED]
    assert of("java", JAVA) == [JAVA]
    assert of("python", JAVA[:3]) == [[line] for line in JAVA[:3]]
    assert of("java", LOGGED[:2]) == [LOGGED[:1], LOGGED[1:2]]
    assert of("python", ["one", "  two"]) == [["one"], ["  two"]]


def test_a_group_of_exceptions_belongs_to_the_line_above_it() -> None:
    assert of("auto", [PLAIN[0], *GROUP, PLAIN[1]]) == [[PLAIN[0], *GROUP], [PLAIN[1]]]
    assert of("python", [PLAIN[0], *GROUP, PLAIN[1]]) == [[PLAIN[0], *GROUP], [PLAIN[1]]]


def test_a_second_traceback_is_an_entry_of_its_own() -> None:
    assert of("auto", [*LOGGED[1:5], *LOGGED[1:5]]) == [LOGGED[1:5], LOGGED[1:5]]


def test_a_traceback_that_was_cut_off_does_not_take_the_next_entry_along() -> None:
    assert of("auto", [*LOGGED[1:4], PLAIN[0]]) == [LOGGED[1:4], [PLAIN[0]]]


def test_a_run_of_exceptions_without_stacks_stays_a_run() -> None:
    lines = [f"java.io.IOException: disk {number}" for number in range(3)]
    assert of("auto", lines) == [[line] for line in lines]


def test_indented_and_blank_lines_continue() -> None:
    lines = ["a", "  b", "", "\tc", "d", "\r", "e"]
    assert of("indent", lines) == [["a", "  b", "", "\tc"], ["d", "\r"], ["e"]]
    assert of("none", lines) == [[line] for line in lines]


def test_a_first_line_begins_an_entry_whatever_it_is() -> None:
    assert of("indent", ["  b", "c"]) == [["  b"], ["c"]]
    assert of("start: x", ["a", "xb"]) == [["a"], ["xb"]]


def test_an_entry_begins_where_the_regex_matches() -> None:
    lines = ["[1] a", "more", "  more", "[2] b", "[3] c"]
    assert of(r"start: \[\d+\]", lines) == [lines[:3], ["[2] b"], ["[3] c"]]
    assert of(r"start:\[\d+\]", lines) == of(r"start: \[\d+\]", lines)


@pytest.mark.parametrize("broken", ["yaml", "start: (", ""])
def test_a_broken_rule_is_refused(broken: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(broken.removeprefix("start: ")))):
        rule(broken)


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_no_entry(name: str) -> None:
    assert rule(name).group([]) == []


@pytest.mark.parametrize("name", RULES)
@given(lines=st.lists(st.sampled_from(LINES), max_size=40), cuts=st.sets(st.integers(1, 39)))
def test_what_is_followed_is_what_is_there(name: str, lines: list[str], cuts: set[int]) -> None:
    at = [0, *sorted(cuts), 40]
    batches = ["".join(f"{line}\n" for line in lines[i:j]).encode() for i, j in itertools.pairwise(at)]
    assert followed(rule(name), batches) == (of(name, lines) if lines else [])


@pytest.mark.parametrize("name", RULES)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_followed_as_they_are(name: str, data: bytes) -> None:
    data += b"\n"
    lines = data.decode(errors="replace").split("\n")[:-1]
    assert followed(rule(name), re.findall(b"[^\n]*\n", data)) == of(name, lines)


def slow_traceback() -> list[str]:
    frames = [line for number in range(38) for line in (f'  File "a.py", line {number}, in f', "    f()")]
    return ["2026-11-24 ERROR failed", "Traceback (most recent call last):", *frames, "    f()", "KeyError: 1"]


@pytest.mark.parametrize("restart", [1, 2, 40, 79, 80])
def test_a_slow_traceback_is_one_entry_across_a_restart(restart: int) -> None:
    whole = slow_traceback()
    assert len(whole) == 80
    by = rule("auto")
    waiting, kept = b"", 0
    for number, line in enumerate(whole):
        waiting += f"{line}\n".encode()
        kept += by.boundary(waiting)
        if number == restart:
            # What is read again after a restart begins where the last kept entry ended.
            waiting = "".join(f"{line}\n" for line in whole[: number + 1]).encode()[kept:]
    assert (kept, split(by, waiting)) == (0, [whole])
    after = waiting + b"2026-11-24 INFO next\n"
    assert by.boundary(after) == len(waiting)


@pytest.mark.parametrize("name", RULES[1:])
def test_the_end_of_much_that_continues_nothing_is_found_at_once(name: str) -> None:
    data = b"2026-11-24 07:23:00 INFO 10.0.0.1 GET /index.html\n" * 20_000
    lines = data.decode().split("\n")[:-1]
    assert rule(name).group(lines) == list(range(20_000)) or name == RULES[-1]
    assert rule(name).boundary(data) == (len(data) - 50 if name != RULES[-1] else 0)


@pytest.mark.parametrize("name", ["indent", "auto", "start: x"])
@pytest.mark.parametrize("line", [b"   a: b\n", b"\n", b"\tat a\n"])
def test_much_that_only_continues_is_one_entry(name: str, line: bytes) -> None:
    assert rule(name).boundary(line * (1024 * 1024 // len(line))) == 0


@pytest.mark.parametrize(
    "unit", ["a", "a.", " ", "(", "f()", "... 1", "a.Error", "Caused by: ", "1", "Error", ")", "<", "\t", "é"]
)
def test_a_long_line_takes_time_in_proportion(unit: str) -> None:
    def seconds(times: int) -> float:
        line = unit * times
        began = time.perf_counter()
        for name in entries.NAMES:
            rule(name).boundary(f"a\n{line}\n".encode())
            rule(name).group([line, line])
        return time.perf_counter() - began

    # Were it the square, sixteen times the length would take 256 times as long.
    long = min(seconds(16 * 20_000) for _ in range(3))
    assert long < 100 * max(min(seconds(20_000) for _ in range(3)), 1e-4)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["one line"], "one line"),
        (["a table:", "  row"], "a table:"),
        (LOGGED, "2026-11-24 07:23:00 ERROR sync failed | app.errors.SyncFailed: no row for alice"),
        (LOGGED[1:5], "KeyError: 'alice'"),
        (["", *LOGGED[1:5]], "KeyError: 'alice'"),
        (LOGGED[1:3], "Traceback (most recent call last):"),
        (GROUP, "ExceptionGroup: two tasks failed (2 sub-exceptions)"),
        ([PLAIN[0], *GROUP], f"{PLAIN[0]} | ExceptionGroup: two tasks failed (2 sub-exceptions)"),
        (
            JAVA,
            "2026-11-24 07:23:00 ERROR c.e.Orders - order 7 failed | java.lang.IllegalStateException: no stock"
            " | Caused by: java.net.ConnectException: refused",
        ),
        (JAVA[1:6], "java.lang.IllegalStateException: no stock | Caused by: java.sql.SQLException: timeout"),
        (NODE, NODE[0]),
        (GO, GO[0]),
        (
            ["<3> app[7]: failed", *(f"    {line}" for line in LOGGED[1:5])],
            "<3> app[7]: failed | KeyError: 'alice'",
        ),
        (
            ["<3> app[7]: Traceback (most recent call last):", *(f"    {line}" for line in LOGGED[2:5])],
            "<3> app[7]: Traceback (most recent call last): | KeyError: 'alice'",
        ),
    ],
)
def test_an_entry_is_told_by_its_exception(lines: list[str], told: str) -> None:
    assert summary(lines) == told
    assert summary([f"{line}\r" for line in lines]).replace("\r", "") == told
