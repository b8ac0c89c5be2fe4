"""The header of a log line: who says it, how serious it is, and where its time stands.

`recognise` looks at a sample and picks one format from a table, and that format then takes the headers off. It
also cuts the stamps out of many lines at once, by their columns wherever these are fixed: most lines of a log are
never parsed, and yet the minute of each is wanted. What a stamp means is told by times.py; what becomes of the
message is not known here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from agentd.errors import ConfigError
from agentd.logs import levels, times
from agentd.logs.jsonlines import TIMES, json_fields, logfmt_fields

# A format is as good as another that reads few more lines; the more particular one comes first in the table.
_AS_GOOD = 0.9
_LEAST_SHARE = 0.5

_GROUPS = ("time", "host", "process", "pid", "level", "message")


@dataclass(frozen=True, slots=True)
class Header:
    """A line without its decoration; "" is what the line does not tell."""

    stamp: str
    host: str
    process: str
    pid: str
    level: str  # fatal, error, warn, notice, info, debug or trace
    message: str
    repeats: int = 1  # with no message: so many times the entry before it in the same file


Read = Callable[[str], Mapping[str, str] | None]
Stamps = Callable[[Sequence[str]], list[str]]
Find = Callable[[str], re.Match[str] | None]


class Format:
    """One way to write a log's lines."""

    def __init__(self, name: str, read: Read, stamps: Stamps, *, level_in_digits: bool = False) -> None:
        self.name = name
        self.level_in_digits = level_in_digits  # so that lines that differ in numbers alone may differ in level
        self.stamps = stamps  # of each line the text that tells its minute, which is "" or nonsense if it has none
        self._read = read

    def parse(self, line: str) -> Header | None:
        """The header of a line, or of an entry; None if it is not in this format."""
        part = self._read(line)
        if part is None:
            return None
        message, repeats = part["message"].rstrip(), 1
        if (again := repeated(message)) is not None:
            repeats, message = again
        return Header(
            stamp=self.stamps([line])[0],
            host=_known(part.get("host", "")),
            process=_known(part.get("process", "")),
            pid=_known(part.get("pid", "")),
            level=_level(part),
            message=message,
            repeats=repeats,
        )


def repeated(message: str) -> tuple[int, str] | None:
    """How often a message says that another came again, and which: "" is the entry before it in the same file."""
    if "repeated" not in message:
        return None
    if found := _LAST_AGAIN.fullmatch(message):
        return int(found[1]), ""
    if found := _AGAIN.match(message):
        return int(found[1]), message[found.end() :].strip().removesuffix("]")
    return None


_LAST_AGAIN = re.compile(r"(?:--- )?last message repeated (\d{1,9}) times?(?: ---)?")
_AGAIN = re.compile(r"message repeated (\d{1,9}) times: \[")


def recognise(sample: Sequence[str], custom: str | None = None) -> Format:
    """The format of a log of which these are some lines; `plain`, without headers, where none reads half of them.

    `custom` is a regex for the beginning of a line, and is the format then. Its groups are `message` and any of
    `time`, `host`, `process`, `pid` and `level`. Raises ConfigError for one that cannot be used.
    """
    if custom is not None:
        return _custom(custom)
    lines = [line for line in sample if line.strip()]
    rows = [(row, [line for line in lines if row.reads(line)]) for row in (*_RECORDS, *_TABLE)]
    most = max(len(read) for _, read in rows)
    if not lines or most < _LEAST_SHARE * len(lines):
        return Format("plain", lambda _: None, _no_stamps)
    row, read = next((row, read) for row, read in rows if len(read) >= _AS_GOOD * most)
    return row.format(read)


def _custom(regex: str) -> Format:
    try:
        pattern = re.compile(regex)
    except re.error as broken:
        raise ConfigError(f"the log format {regex!r} is not a regular expression: {broken}") from broken
    groups = pattern.groupindex
    if "message" not in groups:
        raise ConfigError(f"the log format {regex!r} has no group (?P<message>...)")
    if unknown := [group for group in groups if group not in _GROUPS]:
        raise ConfigError(
            f"the log format {regex!r} has a group {unknown[0]!r}: the names are {', '.join(_GROUPS)}"
        )

    def read(line: str) -> dict[str, str] | None:
        found = pattern.match(line)
        return found.groupdict("") if found else None

    def stamps(lines: Sequence[str]) -> list[str]:
        return [times.stamp_in(found["time"] or "") if (found := pattern.match(line)) else "" for line in lines]

    return Format("custom", read, stamps if "time" in groups else _no_stamps)


def _stamps(find: Find, sample: Sequence[str]) -> Stamps:
    """What cuts stamps out: by columns, where they are the same on all lines of `sample`, or else by `find`."""
    places = {(found.span("minute"), found.span("after")) for line in sample if (found := find(line))}
    if len(places) != 1:
        return lambda lines: [_stamp(find(line)) for line in lines]
    (start, end), (after, stop) = places.pop()
    if after == stop:
        return lambda lines: [line[start:end] for line in lines]
    return lambda lines: [line[start:end] + line[after:stop] for line in lines]


def _stamp(found: re.Match[str] | None) -> str:
    return (found["minute"] or "") + (found["after"] or "") if found else ""


def _no_stamps(lines: Sequence[str]) -> list[str]:
    return [""] * len(lines)


def _known(part: str) -> str:
    return "" if part == "-" else part.strip()


def _level(part: Mapping[str, str]) -> str:
    if priority := part.get("pri"):
        return levels.of_priority(int(priority))
    if status := part.get("status"):
        return levels.of_status(status)
    return levels.of_word(part.get("level", ""))


@dataclass(frozen=True)
class _Record:
    """A format whose lines name their parts; its time may stand anywhere."""

    name: str
    fields: Read
    time: str  # a regex for what comes before

    def reads(self, line: str) -> bool:
        return self.fields(line) is not None

    def format(self, sample: Sequence[str]) -> Format:
        """The format for a log like `sample`: its times are dates or seconds, whichever comes more often."""
        patterns = [re.compile(self.time + shape.in_line()) for shape in (times.ISO, times.EPOCH)]
        found = [sum(pattern.search(line) is not None for line in sample) for pattern in patterns]
        return Format(
            self.name,
            self.fields,
            _stamps(patterns[found.index(max(found))].search, ()),
            level_in_digits=any(_LEVEL_NUMBER.search(line) for line in sample),
        )


@dataclass(frozen=True)
class _Row:
    """A line of the table of formats: regexes for one, up to its time and from there."""

    name: str
    head: str
    rest: str
    otherwise: str = ""  # what else may come after the time, on a line here and there
    fixed: bool = True  # whether the time stands in the same columns on each line

    @cached_property
    def whole(self) -> re.Pattern[str]:
        return re.compile(self.head + self.rest)

    def reads(self, line: str) -> bool:
        return self.whole.match(line) is not None

    def format(self, sample: Sequence[str]) -> Format:
        """The format for a log like `sample`, lines that match."""
        whole = self.whole.match
        otherwise = re.compile(self.head + self.otherwise).match if self.otherwise else whole

        def read(line: str) -> dict[str, str] | None:
            found = whole(line) or otherwise(line)
            return found.groupdict("") if found else None

        in_digits = not {"pri", "status"}.isdisjoint(self.whole.groupindex)
        return Format(self.name, read, self._stamps(sample), level_in_digits=in_digits)

    def _stamps(self, sample: Sequence[str]) -> Stamps:
        upto_time = re.compile(self.head)
        if "minute" not in upto_time.groupindex:
            return _no_stamps
        return _stamps(upto_time.match, sample if self.fixed else ())


_KEYS = "|".join(TIMES)
_LEVEL_NUMBER = re.compile(r'(?:level|severity|lvl)"?\s{0,4}[:=]\s{0,4}\d')
_RECORDS = (
    _Record("json", json_fields, rf'"(?:{_KEYS})"\s{{0,4}}:\s{{0,4}}"?'),
    _Record("logfmt", logfmt_fields, rf'(?<!\S)(?:{_KEYS})="?'),
)

# The parts that formats are made of: bounded runs, or classes that leave out what comes next, so that a line that
# does not fit takes time that grows with its length and no faster.
_PRI = r"<(?P<pri>\d{1,3})>"
_HOST = r"(?P<host>\S+)"
_PID = r"(?P<pid>\d+)"
_PLAIN = rf"(?P<level>{levels.PLAIN}(?![\w./=-]))"
_WORD = rf"(?P<level>{levels.WORD})"
_LOGGER = r"(?P<process>[\w.$/@:-]*[\w$])"
_NAME = r"(?P<process>\S+)"
_THREAD = r"\[.*?\]"
_MESSAGE = r"(?P<message>(?s:.*))"
# `process[pid]: `, with what macOS puts between, and the seconds since the start that the kernel puts behind.
_TAG = r"(?P<process>[^:\[\]]{1,64}?)(?:\[(?P<pid>\d+)\])?(?: \([^)]{0,200}\))?:(?!\S) ?(?:\[ {0,8}\d+\.\d{6}\] )?"
_SYSLOG = rf" {_HOST} (?:{_TAG})?{_MESSAGE}"
_DATED = r"\[?" + times.ISO.in_line(times.SHORT, times.COMPACT, times.DOTTED)
_BARE = (
    rf"\]?[ \t:|,-]*(?:(?:{_PID} +)?[\[(]?(?P<level>{levels.PLAIN}(?![\w./=-])|{levels.WORD}(?=[\]):]))[\])]?"
    rf"[ \t:|,-]*)?{_MESSAGE}"
)
_LOGBACK = rf"\]? +{_THREAD} +{_PLAIN} +{_LOGGER}(?::| +-) {_MESSAGE}"


def _dated(name: str, rest: str) -> _Row:
    return _Row(name, _DATED, rest + _MESSAGE, otherwise=_BARE)


# From the particular to the general.
_TABLE = (
    _Row(
        "rfc5424",
        rf"{_PRI}\d{{1,2}} (?:-|{times.ISO.in_line()})",
        rf" {_HOST} {_NAME} (?P<pid>\S+) \S+ (?:-|\[(?:[^\]\\]|\\.|\]\[)*\])(?: \ufeff?|$){_MESSAGE}",
        fixed=False,
    ),
    _Row("syslog-priority", _PRI + times.SYSLOG.in_line(), _SYSLOG, fixed=False),
    _Row("syslog", times.SYSLOG.in_line(), _SYSLOG),
    _Row("container", times.ISO.in_line(), rf" std(?:out|err) [FP] {_MESSAGE}"),
    _Row("syslog-iso-priority", _PRI + times.RFC3339.in_line(), _SYSLOG, fixed=False),
    # Its second word must not look like that of a program's own log.
    _Row(
        "syslog-iso",
        times.RFC3339.in_line(),
        rf" (?!{levels.PLAIN}\b){_HOST} {_TAG}{_MESSAGE}",
        otherwise=rf" {_HOST} {_MESSAGE}",
    ),
    _Row(
        "apache-error",
        r"\[[A-Z][a-z][a-z] " + times.CTIME.in_line(),
        rf"\] \[(?:(?P<process>\w*):)?{_WORD}\](?: \[pid {_PID}[^\]]*\])? {_MESSAGE}",
        otherwise=rf"\] {_MESSAGE}",
    ),
    _Row("ctime", r"\[?[A-Z][a-z][a-z] " + times.CTIME.in_line(), rf"\]?:? {_MESSAGE}"),
    _Row(
        "access",
        rf"(?:\S+:\d+ )?{_HOST} \S+ [^\[\]\"]{{1,64}} \[" + times.COMMON.in_line(),
        r'\] (?P<message>"(?:[^"\\]|\\.)*" (?P<status>\d{3}))(?!\S)',
        fixed=False,
    ),
    _dated("nginx-error", rf" \[{_WORD}\] {_PID}#\d+: (?:\*\d+ )?"),
    _dated("spring-boot", rf" +{_PLAIN} +{_PID} --- {_THREAD} +{_NAME} +: "),
    _dated("log4j-dashes", rf" - {_WORD} +{_THREAD} - "),
    _dated("log4j", rf"\]? +{_PLAIN} +{_THREAD} +{_LOGGER}(?::| +-) "),
    _Row("logback", _DATED, _LOGBACK, otherwise=_BARE),
    _Row("logback-without-date", r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?", _LOGBACK),
    _dated("python", rf" - {_NAME} - {_WORD} - "),
    _dated("loguru", rf" \| {_WORD} +\| {_NAME} - "),
    _dated("oslo", rf" {_PID} {_PLAIN} {_NAME} \[[^\]]*\] "),
    _dated("postgres", rf"(?: [A-Z]{{3,5}})? \[{_PID}(?:-\d+)?\](?: [^\s@]+@\S+)? {_WORD}: +"),
    _dated("mysql", rf" {_PID} \[{_WORD}\] (?:\[MY-\d+\] \[(?P<process>\w+)\] )?"),
    _dated("monolog", rf"\] (?P<process>[\w-]+)\.{_WORD}: "),
    _Row("ruby", r"[A-Z], \[" + times.ISO.in_line(), rf" #{_PID}\] +{_WORD} -- (?P<process>[^:]*): {_MESSAGE}"),
    _dated("env-logger", rf" +{_PLAIN} +{_LOGGER}\] "),
    _dated("level-logger", rf"\]? +(?:{_PID} +)?{_PLAIN} +{_LOGGER}: "),
    _Row("dated", _DATED, _BARE),
    _Row(
        "glog", r"(?P<level>[IWEF])" + times.GLOG.in_line(), rf" +{_PID} (?P<process>[^\s:\]]+):\d+\] {_MESSAGE}"
    ),
    _Row(
        "logcat",
        times.LOGCAT.in_line(),
        rf" +{_PID} +\d+ (?P<level>[VDIWEFA]) (?P<process>[^:]{{1,64}}?) {{0,32}}: {_MESSAGE}",
    ),
    _Row(
        "kernel",
        r"(?:(?P<process>\w+) *: *(?P<level>\w+) *: )?\[ *\d+\.\d{6}\]",
        rf"(?:\[ *[CT]\d+\])? {_MESSAGE}",
    ),
    _Row("python-basic", _WORD, rf":(?P<process>[\w.-]+):{_MESSAGE}"),
    _Row("level", rf"\[?{_WORD}(?=[\]:])\]?:?", rf"\s+{_MESSAGE}"),
)
