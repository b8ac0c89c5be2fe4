"""What happened becomes notices, as the rules of the config want it: findings, jobs that ended badly, digests.

Operations for `Store.read`. What is told of a problem of the daemon is written here too.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from agentd.actions.messages import line, lines
from agentd.actions.notify_settings import NotifyRule
from agentd.daemon import log_findings
from agentd.daemon.problems import Problem
from agentd.errors import NotFound
from agentd.records import JobState, folder_of, is_bundle, timestamp
from agentd.store import findings, queue, results
from agentd.store.database import Database
from agentd.store.notices import Notice, Untold

_ENDED = {"quarantined": ("error", "is quarantined"), "failed": ("warning", "has failed")}
_PATH = 120  # characters of a path, from its end
_GIST = 160  # of a pattern


def notices_of(db: Database, rules: Sequence[NotifyRule], rows: Sequence[Untold], now: datetime) -> list[Notice]:
    """What is to be told of what happened, once for each place."""
    stamp = timestamp(now)
    found: dict[tuple[str, str], Notice] = {}
    for about, ref in dict.fromkeys((row.about, row.ref) for row in rows):
        wanted = [rule for rule in rules if rule.about == about]
        if not wanted:
            continue
        try:
            told = _look(db, about, ref, wanted, now)
        except NotFound:  # gone since
            continue
        for rule, key, severity, title, text in told:
            for place in rule.to:
                found[key, place] = Notice(key, place, about, ref, severity, title, text, stamp)
    return list(found.values())


def notices_of_problem(rules: Sequence[NotifyRule], problem: Problem, now: datetime) -> list[Notice]:
    """What is to be told of a problem of the daemon, once for each place."""
    stamp = timestamp(now)
    places = dict.fromkeys(place for rule in rules if rule.about == "unwell" for place in rule.to)
    key, text = f"problem {problem.key} {stamp}", f"{line(problem.told)}\nnext: {line(problem.hint)}"
    return [Notice(key, place, "unwell", None, "error", "agentd is unwell", text, stamp) for place in places]


_Told = tuple[NotifyRule, str, str, str, str]  # rule, key, severity, title, text


def _look(db: Database, about: str, ref: int, rules: Sequence[NotifyRule], now: datetime) -> Iterator[_Told]:
    match about:
        case "finding":
            return _finding(db, ref, rules, now)
        case "digest":
            return _digest(db, ref, rules)
    return _job(db, about, ref, rules)


def _finding(db: Database, ref: int, rules: Sequence[NotifyRule], now: datetime) -> Iterator[_Told]:
    shape = log_findings.get_shape(db, ref, now)
    if shape["state"] == "muted":
        return
    # Of another magnitude, event or severity it is news again.
    key = f"finding {ref} {findings.get_finding(db, ref).behaviour}"
    title = f"{shape['severity']} in {_tail(shape['source'])}"
    gist = f"{line(shape['pattern'], _GIST)} – {line(shape['summary'])}"
    text = "\n".join((gist, line(shape["action"]), f"next: agentd logs show {ref}"))
    for rule in rules:
        if shape["severity"] in log_findings.at_least(rule.severity or "error"):
            yield rule, key, shape["severity"], title, text


def _job(db: Database, about: str, ref: int, rules: Sequence[NotifyRule]) -> Iterator[_Told]:
    job = queue.get(db, ref)
    if job.state is not JobState(about):  # somebody took it up again
        return
    severity, ended = _ENDED[about]
    where = f"files in {_tail(str(folder_of(job.source)))}" if is_bundle(job.source) else _tail(job.source)
    text = f"{job.task} on {where}: {line(job.error or 'no word')}\nnext: agentd jobs show {ref}"
    for rule in rules:
        if rule.task in (None, job.task):
            # A job that a person tries again may end so again.
            yield rule, f"job {ref} {job.finished}", severity, f"job {ref} {ended}", text


def _digest(db: Database, ref: int, rules: Sequence[NotifyRule]) -> Iterator[_Told]:
    stored = results.get(db, ref)
    text = f"{_said(stored.result.output)}\nnext: agentd results show {ref}"
    for rule in rules:
        if rule.task in (None, stored.task):
            yield rule, f"result {ref}", "info", stored.task, text


def _said(output: dict[str, Any]) -> str:
    """A result in lines: the words alone where there is one property, or each property with its name."""
    if len(output) == 1:
        return _value(next(iter(output.values())))
    parts = ((name, _value(value), "\n" if isinstance(value, list) else " ") for name, value in output.items())
    return "\n".join(f"{name}:{gap}{said}" for name, said, gap in parts)


def _value(value: Any) -> str:
    match value:
        case str():
            return lines(value)
        case list():
            return "\n".join(f"• {_value(one)}" for one in value)
        case dict():
            return line("; ".join(_value(one) for one in value.values()))
    return line(json.dumps(value, ensure_ascii=False))


def _tail(path: str) -> str:
    """The end of a path: where a long one says most."""
    plain = line(path, len(path) + 1)
    return plain if len(plain) <= _PATH else f"…{plain[1 - _PATH :]}"
