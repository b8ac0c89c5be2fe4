"""What was measured as tables and gates, for a terminal and for the documentation.

Everything is made from the raw figures, which are what `--json` keeps; nothing is measured here.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from benchmarks.engine.figures import Run, median
from benchmarks.engine.sides import PEER_NAMES, threads_text

Figures = Mapping[str, Any]
OURS = "agentd"
GATE_PEER, SINGLE_PEER = PEER_NAMES["xllamacpp"], PEER_NAMES["single"]
LIMIT_SHARE = 0.9
AHEAD = {"q4_1": 1.2, "q4_0": 2.2}  # of the server engine on the same file, by its weights
TUNED_AHEAD, TUNED_AHEAD_OF_SINGLE = 2.5, 3.0
PERPLEXITY, ALIKE = 1.01, 0.95
SLOWER, STEP = 1.5, 0.25  # times the idle engine, plus one step: seconds that a step should take
NEIGHBOUR, RESTORED, PYTHON = 0.9, 2.0, 0.05
SECTIONS = ("same", "tuned", "question", "neighbour", "restart", "cache")


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table of text."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """Something the engine has to reach."""

    what: str
    bound: str
    reached: str
    met: bool


def tables(figures: Figures) -> list[Table]:
    """One table or more for each section that was measured, the gates first."""
    makers: dict[str, Callable[[Any], Iterable[Table]]] = {
        "same": _same,
        "tuned": _tuned,
        "question": _question,
        "neighbour": _neighbour,
        "restart": _restart,
        "cache": _cache,
    }
    made = [table for name in SECTIONS if name in figures for table in makers[name](figures[name]["measured"])]
    rows = [(gate.what, gate.bound, gate.reached, "yes" if gate.met else "no") for gate in gates(figures)]
    return [Table("What is asked of it", ("what", "bound", "measured", "met"), rows), *made]


def gates(figures: Figures) -> list[Gate]:
    """Every bound of the sections that were measured."""
    makers: dict[str, Callable[[Any], Iterable[Gate]]] = {
        "same": _same_gates,
        "tuned": _tuned_gates,
        "question": _question_gates,
        "neighbour": _neighbour_gates,
        "restart": _restart_gates,
        "cache": _cache_gates,
    }
    return [gate for name in SECTIONS if name in figures for gate in makers[name](figures[name]["measured"])]


def rich_table(table: Table) -> RichTable:
    """For a terminal."""
    made = RichTable(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        made.add_column(column, justify="left" if number < _words(table) else "right")
    for row in table.rows:
        made.add_row(*row)
    return made


def page(folder: Path) -> str:
    """The tables of every file of figures in a folder, as Markdown; each file is one machine's."""
    files = sorted(folder.glob("*.json"))
    parts = []
    for file in files:
        figures = json.loads(file.read_text("utf-8"))
        parts.append(f"## {file.stem}\n")
        parts += [f"{line}\n" for line in machines(figures)]
        parts += [_markdown(table) for table in tables(figures)]
    return "\n".join(parts) or "No figures are kept yet.\n"


def machines(figures: Figures) -> list[str]:
    """On what each section was measured; once where it is the same for all."""
    lines: dict[str, list[str]] = {}
    for name in SECTIONS:
        if name in figures:
            lines.setdefault(figures[name]["machine"], []).append(name)
    return [f"{', '.join(names)}: {machine}" for machine, names in lines.items()]


def _markdown(table: Table) -> str:
    rules = [" --- " if number < _words(table) else " ---: " for number in range(len(table.columns))]
    lines = [f"### {table.title}", "", f"| {' | '.join(table.columns)} |", f"|{'|'.join(rules)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table.rows)]) + "\n"


def _words(table: Table) -> int:
    """How many columns hold words, and stand left."""
    return next((n for n, name in enumerate(table.columns) if name in _NUMBERS), len(table.columns))


_NUMBERS = frozenset({"jobs/min", "seconds", "bytes a token", "tokens/s"})


def _runs(measured: Figures) -> list[Run]:
    return [Run(**run) for run in measured["runs"]]


def _rate(measured: Figures) -> float:
    return median(run.a_minute for run in _runs(measured))


def _best(of_sides: Sequence[Figures], name: str) -> Figures | None:
    """The fastest setting of an engine, if it was measured."""
    return max((one for one in of_sides if one["name"] == name), key=_rate, default=None)


def _times(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else math.inf


def _throughput_rows(workload: str, of_sides: Sequence[Figures], limit: str) -> Iterator[tuple[str, ...]]:
    ours = _rate(of_sides[0])
    for one in of_sides:
        runs = _runs(one)
        last, rates = runs[-1], sorted(run.a_minute for run in runs)
        # What a side does not tell shows as a question mark, not as nothing.
        prompt = "?" if last.tokens_cached is None else f"{(last.tokens_in - last.tokens_cached) / last.jobs:.0f}"
        setting = one["setting"] + (f", {threads_text(last.threads)}" if last.threads else "")
        yield (
            workload,
            one["name"],
            setting,
            f"{_rate(one):.1f}",
            f"{rates[0]:.1f} to {rates[-1]:.1f}, {len(rates)} run{'s' * (len(rates) > 1)}",
            f"{last.valid}/{last.jobs}",
            f"{prompt} + {last.tokens_out / last.jobs:.0f}",
            "" if one is of_sides[0] else f"{_times(ours, _rate(one)):.2f}×",
            limit if one is of_sides[0] else "",
        )


_THROUGHPUT = (
    *("workload", "engine", "setting", "jobs/min", "least to most", "valid", "tokens a job (prompt + answer)"),
    *("agentd is", "of the limit"),
)


def _same(measured: Sequence[Figures]) -> Iterator[Table]:
    for one in measured:
        rows = [
            row
            for name, of_sides in one["workloads"].items()
            for row in _throughput_rows(name, of_sides, f"{one['limits'][name]['share']:.0%}")
        ]
        yield Table(f"The same file: weights {one['weights']}, KV {one['kv']}", _THROUGHPUT, rows)
        yield Table(
            f"llama.cpp itself: weights {one['weights']}, KV {one['kv']}", ("batch", "tokens/s"), [*_rates(one)]
        )


def _rates(one: Figures) -> Iterator[tuple[str, str]]:
    for kind in ("prompt", "decode"):
        for turns in zip(*(told[kind] for told in one["rates"]), strict=True):
            shape = turns[0]
            what = f"{kind}: " + (f"{shape['tokens']} tokens, " if "tokens" in shape else "a token each, ")
            yield what + f"{shape['sequences']} sequences", f"{median(turn['rate'] for turn in turns):.0f}"


def _same_gates(measured: Sequence[Figures]) -> Iterator[Gate]:
    for one in measured:
        for name, of_sides in one["workloads"].items():
            where = f"{name}, weights {one['weights']}, KV {one['kv']}"
            share = one["limits"][name]["share"]
            yield Gate(
                f"{where}: of the compute limit", f"≥ {LIMIT_SHARE:.0%}", f"{share:.0%}", share >= LIMIT_SHARE
            )
            peer = _best(of_sides, GATE_PEER)
            if peer:
                bound = AHEAD.get(one["weights"], 1.0)
                yield _ahead(where, of_sides[0], peer, bound)
            yield _python_gate(where, of_sides[0])


def _ahead(where: str, ours: Figures, peer: Figures, bound: float) -> Gate:
    ratio = _times(_rate(ours), _rate(peer))
    what = f"{where}: beside {peer['name']} ({peer['setting']})"
    return Gate(what, f"≥ {bound:g}×", f"{ratio:.2f}×", ratio >= bound)


def _python_gate(where: str, ours: Figures) -> Gate:
    shares = [1 - run.decode_seconds / run.busy_seconds for run in _runs(ours) if run.busy_seconds]
    share = median(shares)
    return Gate(f"{where}: outside llama_decode", f"≤ {PYTHON:.0%}", f"{share:.1%}", share <= PYTHON)


def _tuned(measured: Figures) -> Iterator[Table]:
    rows = [
        row for name, of_sides in measured["workloads"].items() for row in _throughput_rows(name, of_sides, "")
    ]
    weights = measured["info"].get("weights") or "the file as it is"
    title = f"As the user gets it: weights {weights}, KV {measured['info'].get('kv_cache', '?')}"
    yield Table(title, _THROUGHPUT, rows)


def _tuned_gates(measured: Figures) -> Iterator[Gate]:
    for name, of_sides in measured["workloads"].items():
        for peer_name, bound in ((GATE_PEER, TUNED_AHEAD), (SINGLE_PEER, TUNED_AHEAD_OF_SINGLE)):
            if peer := _best(of_sides, peer_name):
                yield _ahead(f"{name}, as tuned", of_sides[0], peer, bound)
        alike, total = measured["alike"][name]
        reached = f"{alike}/{total} ({alike / total:.0%})"
        yield Gate(f"{name}, as tuned: closed fields alike", f"≥ {ALIKE:.0%}", reached, alike >= ALIKE * total)
    ours, shipped = measured["perplexity"], measured["shipped_perplexity"]
    reached = f"{ours:.3f} beside {shipped:.3f} ({ours / shipped - 1:+.1%})"
    yield Gate("as tuned: perplexity", f"≤ {PERPLEXITY - 1:+.0%}", reached, ours <= PERPLEXITY * shipped)


def _question(measured: Figures) -> Iterator[Table]:
    title = f"An ask of 300 tokens, median of {len(measured['busy'])}: first text"
    rows = [
        ("idle engine", f"{median(measured['idle']):.2f}"),
        (f"{measured['queued']} jobs queued", f"{median(measured['busy']):.2f}"),
        ("the slowest of those", f"{max(measured['busy']):.2f}"),
        ("the longest step of the jobs before it", f"{median(measured['steps']):.2f}"),
    ]
    yield Table(title, ("when", "seconds"), rows)


def _question_gates(measured: Figures) -> Iterator[Gate]:
    bound = SLOWER * median(measured["idle"]) + STEP
    busy = median(measured["busy"])
    what = f"C: first text of an ask with {measured['queued']} jobs queued"
    yield Gate(what, f"≤ {bound:.2f} s ({SLOWER:g} × idle + a step)", f"{busy:.2f} s", busy <= bound)


def _neighbour(measured: Figures) -> Iterator[Table]:
    rows = [(one["setting"], f"{_rate(one):.1f}") for one in measured["measured"]]
    yield Table("A with one core taken by another process", ("setting", "jobs/min"), rows)


def _neighbour_gates(measured: Figures) -> Iterator[Gate]:
    auto, *fixed = measured["measured"]
    best = max(fixed, key=_rate)
    share = _times(_rate(auto), _rate(best))
    what = f"threads auto beside a busy process, against {best['setting']}"
    yield Gate(what, f"≥ {NEIGHBOUR:.0%}", f"{share:.0%}", share >= NEIGHBOUR)


def _restart(measured: Figures) -> Iterator[Table]:
    rows = [
        ("prefix restored", f"{median(measured['restored']):.2f}"),
        ("without", f"{median(measured['cold']):.2f}"),
    ]
    yield Table("First text after a restart, from a loaded model on", ("what", "seconds"), rows)


def _restart_gates(measured: Figures) -> Iterator[Gate]:
    ratio = _times(median(measured["cold"]), median(measured["restored"]))
    found = min(measured["tokens_cached"])
    met = ratio >= RESTORED and found > 0
    what = f"first text after a restart ({found} tokens restored)"
    yield Gate(what, f"≥ {RESTORED:g}× sooner", f"{ratio:.2f}×", met)


def _cache(measured: Sequence[Figures]) -> Iterator[Table]:
    rows = [
        (
            one["kv"],
            f"{one['taken_bytes']:,.0f}",
            f"{one['computed_bytes']:,}",
            f"{one['perplexity']:.2f}",
            f"{one['alike']}/{one['fields']}",
            f"{one['a_minute']:.1f}",
        )
        for one in measured
    ]
    columns = ("KV", "bytes a token", "as computed", "perplexity", "closed fields as with f16", "jobs/min")
    yield Table("Types of the KV cache, the starter's weights", columns, rows)


def _cache_gates(measured: Sequence[Figures]) -> Iterator[Gate]:
    for one in measured:
        off = one["taken_bytes"] / one["computed_bytes"] - 1
        what = f"KV {one['kv']}: bytes a token as computed"
        yield Gate(what, "within 0.1 %", f"{off:+.2%}", abs(off) <= 0.001)  # llama.cpp tells hundredths of a MiB
