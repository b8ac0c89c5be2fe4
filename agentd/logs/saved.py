"""A digest as rows of the store, and a digest made again from them, so that reading can stop after any chunk.

What is remarkable and when a delta is sent is not known here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentd.logs.chunk import Chunk
from agentd.logs.digest import Changes, Digest, LogFile
from agentd.logs.findings import Finding, Ranked
from agentd.logs.headers import recognise
from agentd.logs.history import History
from agentd.logs.logins import BreakIn
from agentd.logs.patterns import Pattern
from agentd.logs.profile import Example, Profile
from agentd.logs.times import moment
from agentd.logs.triage import behaviour, document
from agentd.logs.variables import Values
from agentd.records import Mark, timestamp
from agentd.store.findings import FindingRow
from agentd.store.logs import Delta, PatternRow, Saved

_SAMPLE_LINES = 40
_SAMPLE_CHARACTERS = 300


def delta(
    source: str,
    digest: Digest,
    changes: Changes,
    judged: Mapping[int, Ranked],
    found: Sequence[Finding],
    next_id: int,
    *,
    cursor: str = "",
    chunk: Chunk | None = None,
    gone: Sequence[Mark] = (),
    begun: bool = True,
) -> Delta:
    """What is to be stored after a chunk. `judged` has every pattern of the changes that is still there.

    `begun` is False until everything that was there at the very first start was read.
    """
    mark = chunk.mark if chunk else None
    return Delta(
        source=source,
        state=json.dumps({"begun": begun, **_state(digest)}, ensure_ascii=False),
        cursor=mark if isinstance(mark, str) else cursor,
        next_id=next_id,
        lines=digest.lines,
        marks=(mark,) if isinstance(mark, Mark) else (),
        gone=tuple(gone),
        patterns=tuple(pattern_row(source, one) for one in judged.values()),
        buckets=tuple((pattern, bucket, count) for (pattern, bucket), count in changes.buckets.items()),
        merged=tuple(changes.merged),
        dropped=tuple(changes.dropped),
        findings=tuple(finding_row(source, finding) for finding in found),
    )


def pattern_row(source: str, one: Ranked) -> PatternRow:
    """A pattern as it is stored."""
    profile = one.profile
    return PatternRow(
        id=profile.pattern.id,
        source=source,
        pattern=profile.pattern.text,
        level=profile.pattern.level,
        severity=one.severity.name,
        score=one.severity.score,
        count=profile.pattern.count,
        days=profile.days,
        first=_stamp(profile.history.first),
        last=_stamp(profile.history.last),
        profile=json.dumps(_profile(profile), ensure_ascii=False),
    )


def finding_row(source: str, finding: Finding) -> FindingRow:
    """A finding as it is stored."""
    return FindingRow(
        source=source,
        key=finding.key,
        pattern_id=finding.pattern_id,
        pattern=finding.title,
        event=finding.event,
        severity=finding.severity,
        score=finding.score,
        category=finding.category,
        summary=finding.summary,
        action=finding.action,
        count=finding.count,
        parts=json.dumps(finding.parts),
        examples=json.dumps([_example(example) for example in finding.examples], ensure_ascii=False),
        first=_stamp(finding.first),
        last=_stamp(finding.last),
        document=document(finding, "").text,
        behaviour=behaviour(finding),
    )


def restore(digest: Digest, saved: Saved) -> None:
    """Make a new digest what it was when this was stored."""
    for row in saved.patterns:
        kept = json.loads(row.profile)
        pattern = Pattern(row.id, row.level, tuple(kept["words"]), row.count, kept["touched"])
        digest.profiles[row.id] = _profile_again(pattern, kept, row.days)
    digest.miner.restore(profile.pattern for profile in digest.profiles.values())
    state = json.loads(saved.state)
    for name in ("lines", "entries", "folded_entries", "singles", "first", "latest"):
        setattr(digest, name, state[name])
    digest.pauses.extend((start, end) for start, end in state["pauses"])
    digest.logins.failed.update(state["failed"])
    digest.logins.break_ins += [
        BreakIn(one["address"], one["failures"], Example(**one["example"])) for one in state["break_ins"]
    ]
    for source, kept in state["files"].items():
        clock = digest.clock(kept["latest"])
        if kept["day"]:
            clock.resume(*kept["day"])
        last = digest.profiles.get(kept["last"])
        written = recognise(kept["sample"], digest.custom)
        digest.files[source] = LogFile(kept["sample"], written, clock, last.pattern if last else None)


def was_begun(saved: Saved | None) -> bool:
    """Whether everything that was there at the very first start was read."""
    return saved is not None and bool(json.loads(saved.state)["begun"])


def _state(digest: Digest) -> dict[str, Any]:
    """What is known of the whole log."""
    return {
        "lines": digest.lines,
        "entries": digest.entries,
        "folded_entries": digest.folded_entries,
        "singles": digest.singles,
        "first": digest.first,
        "latest": digest.latest,
        "pauses": list(digest.pauses),
        "failed": digest.logins.failed,
        "break_ins": [
            {"address": one.address, "failures": one.failures, "example": _example(one.example)}
            for one in digest.logins.break_ins
        ],
        "files": {
            source: {
                "sample": [line[:_SAMPLE_CHARACTERS] for line in file.sample[:_SAMPLE_LINES]],
                "latest": file.clock.latest,
                "day": file.clock.last,
                "last": file.last.id if file.last else 0,
            }
            for source, file in digest.files.items()
        },
    }


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "words": profile.pattern.words,
        "touched": profile.pattern.touched,
        "surprise": profile.surprise,
        "created": profile.created,
        "changed": profile.changed,
        "today": profile.today,
        "history": profile.history.to_json(),
        "values": {place: values.to_json() for place, values in profile.values.items()},
        "hosts": profile.hosts.to_json(),
        "processes": profile.processes.to_json(),
        "files": profile.files,
        "examples": [_example(example) for example in profile.examples],
        "latest": _example(profile.latest) if profile.latest else None,
    }


def _profile_again(pattern: Pattern, kept: Mapping[str, Any], days: int) -> Profile:
    return Profile(
        pattern,
        surprise=kept["surprise"],
        created=kept["created"],
        changed=kept["changed"],
        days=days,
        today=kept["today"],
        history=History.from_json(kept["history"]),
        values={int(place): Values.from_json(values) for place, values in kept["values"].items()},
        hosts=Values.from_json(kept["hosts"]),
        processes=Values.from_json(kept["processes"]),
        files=dict(kept["files"]),
        examples=[Example(**example) for example in kept["examples"]],
        latest=Example(**kept["latest"]) if kept["latest"] else None,
    )


def _example(example: Example) -> dict[str, Any]:
    return {"file": example.file, "offset": example.offset, "line": example.line}


def _stamp(minute: int | None) -> str | None:
    return None if minute is None else timestamp(moment(minute))
