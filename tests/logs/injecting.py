"""Trouble that is spliced into a log: lines with the headers of their neighbours, at times of our own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentd.logs.chunk import Chunk
from agentd.logs.digest import Digest
from agentd.logs.entries import rule
from agentd.logs.findings import Finding, find, rank
from agentd.logs.headers import recognise
from agentd.logs.news import NewsSettings
from agentd.logs.times import Clock, first_year, moment

SETTINGS = NewsSettings()
LEAST_SPAN = timedelta(days=2)  # a log that covers less is stretched: nothing can go silent within minutes

_STAMPS = (
    (re.compile(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4}"), "%a %b %d %H:%M:%S %Y"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d"), "%y/%m/%d %H:%M:%S"),
    (re.compile(r"\d{6} \d{6}"), "%y%m%d %H%M%S"),
    (re.compile(r"\w{3} [ \d]\d \d\d:\d\d:\d\d"), "%b %e %H:%M:%S"),
)


@dataclass(frozen=True, slots=True)
class Line:
    when: datetime
    text: str


def read(log: Path) -> list[Line]:
    """A log's lines with their times, in order; what has no time has that of the line above it."""
    lines = log.read_text(errors="replace").splitlines()
    modified = log.stat().st_mtime
    clock = Clock(modified, first_year(log, modified), UTC)
    when, found = None, list[Line]()
    for line, stamp in zip(lines, recognise(lines[:100]).stamps(lines), strict=True):
        minute = clock.minute(stamp)
        when = moment(minute) if minute is not None else when
        if when is not None:
            found.append(Line(when, line))
    found.sort(key=lambda line: line.when)
    span = found[-1].when - found[0].when
    if span >= LEAST_SPAN:
        return found
    step = LEAST_SPAN / len(found)
    return [restamped(line, found[0].when + n * step) for n, line in enumerate(found)]


def restamped(line: Line, when: datetime) -> Line:
    """The same line at another time."""
    for shape, written in _STAMPS:
        if found := shape.search(line.text):
            start, end = found.span()
            return Line(when, line.text[:start] + when.strftime(written) + line.text[end:])
    return Line(when, line.text)


def at(lines: Sequence[Line], share: float) -> datetime:
    """The moment after that share of the time that a log covers."""
    return lines[0].when + share * (lines[-1].when - lines[0].when)


def saying(lines: Sequence[Line], message: str, times: Iterable[datetime]) -> list[Line]:
    """Lines that say `message`, all with the header of the line before the first of them."""
    moments = list(times)
    written = recognise([line.text for line in lines[:100]])
    before = [line for line in lines if line.when <= moments[0]] or lines[:1]
    neighbour = next(line for line in reversed(before) if written.parse(line.text))
    header = written.parse(neighbour.text)
    assert header is not None
    start = neighbour.text[: neighbour.text.rfind(header.message)]
    return [restamped(Line(when, start + message), when) for when in moments]


def findings_of(lines: Sequence[Line]) -> list[Finding]:
    """What a scan of these lines would report."""
    digest = digest_of(lines)
    return find(rank(digest, SETTINGS), digest.logins.break_ins)


def digest_of(lines: Sequence[Line]) -> Digest:
    text = "".join(f"{line.text}\n" for line in sorted(lines, key=lambda line: line.when)).encode()
    digest = Digest(rule("auto"), SETTINGS, zone=UTC)
    last = max(line.when for line in lines).timestamp()
    digest.learn(Chunk("app.log", 0, text, "", modified=last))
    return digest
