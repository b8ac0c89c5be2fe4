"""Tables in text: small ones whole, large ones as a summary of every column that counts every row.

A model gains nothing from ten thousand rows; what a column holds, it can use. That rows are not shown is said
in the text itself.
"""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from agentd.errors import Malformed
from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.records import Place

MOST_ROWS = 200  # of a table that is shown whole
MOST_CHARACTERS = 20_000
SHOWN_ROWS = 20  # of a larger one
MOST_VALUES = 1000  # different ones of a column that are counted; beyond, there are "more than"
MOST_IN_CELL = 200  # characters of a cell of these
EXAMPLES = 5
_SNIFFED = 64 * 1024
_Row = tuple[int, Sequence[str]]  # the line on which it begins, and its cells
csv.field_size_limit(1 << 20)


def read(file: BinaryIO, name: str) -> Content:
    """A table whose fields are separated by commas, semicolons, tabs or bars; raises `Malformed`."""
    text = decode(file.read(), name)
    try:
        dialect = csv.Sniffer().sniff(text[:_SNIFFED], ",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if "\t" in text[:_SNIFFED] else csv.excel
    rows = list(_rows(text, dialect, name))
    if len(rows) <= MOST_ROWS and len(text) <= MOST_CHARACTERS:
        return Content(text, (), "rows", len(rows), tuple(line for line, _ in rows))
    at = _header([row for _, row in rows])
    header = [cell.strip() or f"column {n}" for n, cell in enumerate(rows[at][1], 1)]
    return summarise(header, rows[at + 1 :], above=rows[:at])


def read_lines_of_json(text: str, name: str) -> Content:
    """A JSON value a line; raises `Malformed` with the line that is none."""
    rows, starts = list[dict[str, str]](), list[int]()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as broken:
            raise Malformed(f"{name}:{number}: is not JSON: {broken}") from broken
        fields = value if isinstance(value, dict) else {"value": value}
        starts.append(number)
        rows.append({key: inner if isinstance(inner, str) else json.dumps(inner) for key, inner in fields.items()})
    if len(rows) <= MOST_ROWS and len(text) <= MOST_CHARACTERS:
        return Content(text, (), "rows", len(rows), tuple(starts))
    header = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    cells = ([row.get(key, "") for key in header] for row in rows)
    return summarise(header, list(zip(starts, cells, strict=True)))


def _header(rows: Sequence[Sequence[str]]) -> int:
    """Which row names the columns: the first as wide as most that is not mostly blank. Banks write above it."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    wide = [at for at, row in enumerate(rows) if len(row) == width]
    return next((at for at in wide if 2 * sum(bool(cell.strip()) for cell in rows[at]) >= width), wide[0])


def _rows(text: str, dialect: type[csv.Dialect], name: str) -> Iterator[_Row]:
    """The rows that hold something, with the line on which each begins: a cell may have several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), dialect)
    begin = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as broken:
        raise Malformed(f"{name}:{reader.line_num}: is not a table: {broken}") from broken


@dataclass(slots=True)
class _Column:
    """What is known of a column after every row."""

    name: str
    filled: int = 0
    numbers: int = 0
    least: float = float("inf")
    most: float = float("-inf")
    total: float = 0.0
    values: Counter[str] = field(default_factory=Counter)
    more: bool = False  # more different values than are counted

    def add(self, value: str) -> None:
        """Take one cell into account."""
        value = " ".join(value.split())
        if not value:
            return
        self.filled += 1
        if value in self.values or len(self.values) < MOST_VALUES:
            self.values[value[:80]] += 1
        else:
            self.more = True
        try:
            number = float(value)
        except ValueError:
            return
        self.numbers += 1
        self.least, self.most = min(self.least, number), max(self.most, number)
        self.total += number

    def describe(self, rows: int) -> str:
        """One line about the column."""
        told = [f"{self.filled:,} of {rows:,} filled"]
        if self.numbers and self.numbers == self.filled:
            mean = self.total / self.numbers
            told.append(f"numbers from {self.least:.10g} to {self.most:.10g}")
            told.append(f"mean {mean:.6g}, sum {self.total:.10g}")
        else:
            count = f"more than {MOST_VALUES:,}" if self.more else f"{len(self.values):,}"
            told.append(f"{count} different")
            dates = sorted(value for value in self.values if value[:4].isdigit() and value[4:5] == "-")
            if dates and len(dates) == len(self.values) and not self.more:
                told.append(f"from {dates[0]} to {dates[-1]}")
        often = self.values.most_common(EXAMPLES)
        if often and often[0][1] > 1:
            told.append("most often " + ", ".join(f"{value} ({count:,})" for value, count in often))
        elif often and not self.numbers:
            told.append("such as " + ", ".join(value for value, _ in often))
        return f"- {self.name}: {'; '.join(told)}"


def summarise(header: Sequence[str], rows: Sequence[_Row], above: Sequence[_Row] = ()) -> Content:
    """A large table as text: its columns after every row, what stands above them, then its first rows."""
    columns = [_Column(name) for name in header]
    for _, row in rows:
        for column, value in zip(columns, row, strict=False):
            column.add(value)
    lines = [f"A table of {len(rows):,} rows and {len(header):,} columns. Every row is counted here:"]
    lines += [column.describe(len(rows)) for column in columns]
    places = list[Place]()
    for title, shown in ((f"The {len(above):,} rows above it:", above), (f"Its first {SHOWN_ROWS} rows:", rows)):
        if shown:
            places.append(Place(len(lines) + 1 if places else 1, "summary"))
            lines += ["", title]
            places += [
                Place(len(lines) + at, "", "line", line) for at, (line, _) in enumerate(shown[:SHOWN_ROWS], 1)
            ]
            lines += [_row(row) for _, row in shown[:SHOWN_ROWS]]
    return Content("\n".join(lines), tuple(places), "rows", len(rows))


def _row(row: Iterable[str]) -> str:
    cells = (" ".join(cell.split()) for cell in row)
    return " | ".join(cell if len(cell) <= MOST_IN_CELL else f"{cell[:MOST_IN_CELL]}…" for cell in cells)
