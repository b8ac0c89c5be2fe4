"""Excel workbooks: every sheet, a row a line; formulas by the value that was saved with them."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import openpyxl

from agentd.errors import Malformed
from agentd.readers.content import Content, Parts
from agentd.readers.package import Package, open_package

_BOOK = "xl/workbook.xml"
# A cell with a formula and no value behind it; that of a text may be empty.
_BLANK = re.compile(
    rb"""<(\w+:)?c(?![^>]*\st="str")(\s[^>]*)?>\s*<(\w+:)?f(\s[^>]*)?(/>|>[^<]*</(\w+:)?f>)\s*"""
    rb"""(<(\w+:)?v\s*/>|<(\w+:)?v>\s*</(\w+:)?v>)?\s*</(\w+:)?c>"""
)
# openpyxl has no error of its own for a part that is not as it should be.
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, zipfile.BadZipFile)


def read(file: BinaryIO, name: str) -> Content:
    """The text of a workbook; raises `Malformed`, and as `package` does."""
    with open_package(file, name) as package:  # its bounds hold; openpyxl reads the sheets row by row
        blank = dict(_blank_formulas(package))
    file.seek(0)
    parts = Parts()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions that are of no use here
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            for sheet in workbook.worksheets:
                hidden = "" if sheet.sheet_state == "visible" else " (hidden)"
                shown = f"sheet {sheet.title}{hidden}"
                _add_sheet(parts, shown, sheet.iter_rows(values_only=True))
                if count := blank.get(sheet.title):
                    parts.unread.append(f"{shown}: {count:,} formulas were saved without a value")
            workbook.close()
    except _BROKEN as broken:
        raise Malformed(f"{name} is damaged: {type(broken).__name__}: {broken}") from broken
    return parts.content("sheets")


def _blank_formulas(package: Package) -> Iterator[tuple[str, int]]:
    """By sheet, how many formulas have no value: programs that write workbooks leave it to Excel to calculate."""
    related = package.related(_BOOK)
    for sheet in package.parse(_BOOK).iter("{*}sheet") if _BOOK in package.names() else ():
        path = next((related[one][1] for one in sheet.attrib.values() if one in related), "")
        if path in package.names():
            yield sheet.get("name", ""), sum(1 for _ in _BLANK.finditer(package.read(path)))


def _add_sheet(parts: Parts, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add the rows that hold something; each run of them without a gap is a place of its own."""
    run: list[str] = []
    first = 1
    added = False
    for number, row in enumerate(rows, 1):
        line = " | ".join(_cell(value) for value in row).rstrip(" |")
        if line and not run:
            first = number
        if line:
            run.append(line)
        elif run:
            parts.add(name, "\n".join(run), "row", first, begins=not added)
            run, added = [], True
    if run or not added:
        parts.add(name, "\n".join(run), "row", first, begins=not added)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.10g}"
        case datetime.datetime() if value.time() == datetime.time():
            return value.date().isoformat()
        case datetime.datetime():
            return value.isoformat(" ", "seconds")
    return " ".join(str(value).split())
