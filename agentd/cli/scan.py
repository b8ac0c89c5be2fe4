"""`agentd logs scan`: a one-off triage of any log. Needs no daemon, and with `--no-model` no model either."""

import codecs
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

from agentd.cli.render import notes, plain, print_json
from agentd.cli.run import stream_run
from agentd.cli.text import printable
from agentd.errors import AgentdError
from agentd.logs import triage
from agentd.logs.digest import Digest
from agentd.logs.entries import rule as find_rule
from agentd.logs.findings import MAX_FINDINGS, Finding, Ranked, find, rank
from agentd.logs.news import NewsSettings
from agentd.logs.report import Item, period, report
from agentd.logs.scan import ScannedFile, look_at
from agentd.logs.scan import scan as read_files
from agentd.logs.settings import TASK
from agentd.logs.times import moment
from agentd.logs.triage import Opinion
from agentd.paths import find_paths
from agentd.records import stdin_source, timestamp


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--no-model", is_flag=True, help="Tell what was found without asking a model to explain it.")
@click.option("--entries", default="auto", show_default=True, help="What one entry is: see `logs` in the config.")
@click.option("--format", "custom", help="A regex for the header of a line, with (?P<message>...).")
@click.option("--encoding", default="utf-8", show_default=True, help="How the files are written.")
@click.option(
    "--assignments", type=click.Path(dir_okay=False), help="Write which pattern each line has, as JSON lines."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def scan(
    ctx: click.Context,
    files: tuple[str, ...],
    no_model: bool,
    entries: str,
    custom: str | None,
    encoding: str,
    assignments: str | None,
    as_json: bool,
) -> None:
    """Read logs once, whole, and report what deserves a look.

    Compressed files are read as they are. The report is Markdown. Exits with 1 when a file could not be read or
    the model could not be asked; what could be done is told all the same.
    """
    if assignments and len(files) > 1:
        raise click.UsageError("--assignments numbers the lines of one file: give one")
    rule = find_rule(entries)
    try:
        codecs.lookup(encoding)
    except LookupError as unknown:
        raise click.BadParameter(str(unknown), param_hint="--encoding") from unknown
    digest = Digest(rule, NewsSettings(), custom=custom, keep_assignments=assignments is not None)
    began = time.monotonic()
    looked, problems = _look_at(files, encoding)
    if not looked:
        raise problems[0]
    with _progress(DownloadColumn()) as bars:
        bar = bars.add_task("reading", total=sum(file.size for file in looked))
        read_files(looked, digest, rule, lambda count: bars.advance(bar, count))
    ranked = rank(digest, NewsSettings())
    found = find(ranked, digest.logins.break_ins)
    seconds = time.monotonic() - began
    if assignments:
        _write_assignments(Path(assignments), digest)
    findings = found[:MAX_FINDINGS]
    opinions = dict[int, Opinion]()
    if findings and not no_model:
        opinions, refused = _explain(findings)
        problems += refused
    told = _judged(findings, opinions)
    if as_json:
        print_json(_shape(digest, seconds, ranked, told, len(found) - len(findings)))
    else:
        title = ", ".join(Path(file).name for file in files)
        items = [_item(number, finding, said) for number, (finding, said) in enumerate(told, 1)]
        text = report(title, _facts(digest, seconds, len(looked)), items, len(found) - len(findings))
        click.echo(printable(text).rstrip())
    for problem in problems:
        notes().print(plain(f"error: {problem.message}"))
        notes().print(plain(f"next:  {problem.hint}"))
    if problems:
        ctx.exit(1)


def _look_at(files: Sequence[str], encoding: str) -> tuple[list[ScannedFile], list[AgentdError]]:
    looked, problems = list[ScannedFile](), list[AgentdError]()
    for file in files:
        try:
            looked.append(look_at(Path(file), encoding))
        except AgentdError as problem:
            problems.append(problem)
    return looked, problems


def _explain(findings: Sequence[Finding]) -> tuple[dict[int, Opinion], list[AgentdError]]:
    """What a model says about findings, by their place; and why some were not explained."""
    documents = [triage.document(finding, "") for finding in findings]
    places = {stdin_source(document.content): number for number, document in enumerate(documents)}
    opinions, problems = dict[int, Opinion](), list[AgentdError]()
    with _progress(MofNCompleteColumn()) as bars:
        bar = bars.add_task("explaining", total=len(findings))

        def take(part: dict[str, Any]) -> None:
            if part["type"] != "job":
                return
            bars.advance(bar)
            number = places[part["job"]["source"]]
            if part["result"]:
                proven = findings[number].event == "break-in"
                if said := triage.opinion(part["result"]["output"], proven=proven):
                    opinions[number] = said
            else:
                problems.append(AgentdError(part["job"]["error"], hint=part["job"]["hint"]))

        try:
            texts = [document.text for document in documents]
            stream_run(find_paths(), {"task": TASK, "paths": [], "texts": texts}, take)
        except AgentdError as refusal:
            problems.append(AgentdError(f"the findings are not explained: {refusal.message}", hint=refusal.hint))
    return opinions, problems


def _judged(findings: Sequence[Finding], opinions: Mapping[int, Opinion]) -> list[tuple[Finding, Opinion | None]]:
    """The findings with the model's word among their points, the worst first."""
    told = [(finding, opinions.get(number)) for number, finding in enumerate(findings)]
    judged = [(triage.judged(finding, said) if said else finding, said) for finding, said in told]
    return sorted(judged, key=lambda one: -one[0].score)


def _progress(*columns: Any) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=notes(), transient=True)


def _write_assignments(file: Path, digest: Digest) -> None:
    with file.open("w", encoding="utf-8") as out:
        for line, (pattern_id, event) in enumerate(digest.assignments or [], 1):
            row = {"line": line, "pattern_id": digest.resolve(pattern_id), "event": event}
            out.write(json.dumps(row) + "\n")


def _facts(digest: Digest, seconds: float, files: int) -> list[str]:
    read = f"{digest.lines:,} lines" + (f" of {files} files" if files > 1 else "")
    when = period(digest.first, digest.latest)
    facts = [f"{read} read in {seconds:.1f} s: {len(digest.profiles):,} patterns{when and f', {when}'}."]
    if digest.folded_entries:
        facts.append(f"{digest.folded_entries:,} entries are of rare patterns that were let go, and only counted.")
    return facts


def _item(number: int, finding: Finding, said: Opinion | None) -> Item:
    return Item(
        id=number,
        title=finding.title,
        severity=finding.severity,
        category=finding.category,
        event=finding.event,
        summary=finding.summary,
        action=finding.action,
        period=period(finding.first, finding.last),
        trend="",
        examples=finding.examples,
        opinion=said,
    )


def _shape(
    digest: Digest,
    seconds: float,
    ranked: Sequence[Ranked],
    told: Sequence[tuple[Finding, Opinion | None]],
    left_out: int,
) -> dict[str, Any]:
    return {
        "lines": digest.lines,
        "seconds": round(seconds, 3),
        "patterns": [_pattern_shape(one) for one in ranked],
        "findings": [_finding_shape(number, finding, said) for number, (finding, said) in enumerate(told, 1)],
        "left_out": left_out,
    }


def _pattern_shape(one: Ranked) -> dict[str, Any]:
    profile = one.profile
    examples = profile.shown()
    return {
        "id": profile.pattern.id,
        "pattern": profile.pattern.text,
        "count": profile.pattern.count,
        "level": profile.pattern.level,
        "first": _stamp(profile.history.first),
        "last": _stamp(profile.history.last),
        "example": examples[0].line if examples else "",
        "score": one.severity.score,
        "severity": one.severity.name,
        "news": [news.kind for news in one.news],
    }


def _finding_shape(number: int, finding: Finding, said: Opinion | None) -> dict[str, Any]:
    return {
        "id": number,
        "pattern_id": finding.pattern_id,
        "patterns": list(finding.patterns),
        "pattern": finding.title,
        "event": finding.event,
        "severity": finding.severity,
        "score": finding.score,
        "parts": dict(finding.parts),
        "category": finding.category,
        "summary": finding.summary,
        "action": finding.action,
        "count": finding.count,
        "first": _stamp(finding.first),
        "last": _stamp(finding.last),
        "examples": [{"file": one.file, "offset": one.offset, "line": one.line} for one in finding.examples],
        "explanation": said
        and {
            "what_happened": said.what_happened,
            "likely_cause": said.likely_cause,
            "next_step": said.next_step,
        },
    }


def _stamp(minute: int | None) -> str | None:
    return None if minute is None else timestamp(moment(minute))
