"""Tables and JSON: small ones are whole, of large ones everything is counted."""

import re
import zipfile
from pathlib import Path

import pytest

from agentd.errors import Malformed
from agentd.readers.read import Reader
from tests.readers import making
from tests.readers.reading import cited, read


def test_sheets_are_read_with_their_row_numbers(reader: Reader, tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    making.xlsx(file, {"Costs": [["what", "euro"], ["bread", 2.5], [], [], ["sum", 2.5]], "Empty": []})
    document = reader.read(file)
    assert document.text == "what | euro\nbread | 2.5\n\nsum | 2.5"
    assert (document.unit, document.length) == ("sheets", 2)
    assert cited(document, "bread") == "sheet Costs, row 2"
    assert cited(document, "sum") == "sheet Costs, row 5"


def test_formulas_without_a_value_are_told(reader: Reader, tmp_path: Path) -> None:
    file = tmp_path / "a.xlsx"
    making.xlsx(file, {"Costs": [["bread", 2.5], ["sum", "=SUM(B1:B1)"], ["twice", "=B2*2"]], "Plain": [[1]]})
    document = reader.read(file)
    assert document.unread == ("sheet Costs: 2 formulas were saved without a value",)
    saved = tmp_path / "b.xlsx"
    with zipfile.ZipFile(file) as archive:
        parts = {name: re.sub(rb"<v\s*/>|<v></v>", b"<v>5</v>", archive.read(name)) for name in archive.namelist()}
    saved.write_bytes(making.archive(parts))
    document = reader.read(saved)
    assert (document.text.split("\n")[1], document.unread) == ("sum | 5", ())


def test_rows_are_found_by_the_line_on_which_they_begin(reader: Reader, tmp_path: Path) -> None:
    document = read(reader, tmp_path, "a.csv", 'what,note\n\npeas,"two\nlines"\nbeans,one\n')
    assert document.length == 3
    assert [list(document.units_on(line, line)) for line in (1, 3, 4, 5)] == [[0], [1], [1], [2]]
    assert list(document.units_on(2, 5)) == [0, 1, 2]


def test_a_small_table_is_whole_and_a_large_one_is_counted(reader: Reader, tmp_path: Path) -> None:
    small = read(reader, tmp_path, "small.csv", "what;euro\nbread;2,5\n")
    assert (small.text, small.unit, small.length) == ("what;euro\nbread;2,5\n", "rows", 2)
    rows = "".join(f"{n},{'spam' if n % 4 else 'ham'},2026-01-{n % 28 + 1:02}\n" for n in range(5000))
    large = read(reader, tmp_path, "large.csv", "id,kind,day\n" + rows)
    assert large.length == 5000
    assert "- id: 5,000 of 5,000 filled; numbers from 0 to 4999; mean 2499.5, sum 12497500" in large.text
    assert "- kind: 5,000 of 5,000 filled; 2 different; most often spam (3,750), ham (1,250)" in large.text
    assert "from 2026-01-01 to 2026-01-28" in large.text
    assert cited(large, "3 | spam") == "line 5"


BANK = """"Account";"DE12 3456"
"Period";"January"

"Day";"Payee";"Purpose";"Amount"
"2026-01-02";"Baker";"bread
and rolls";"-3.50"
"""


def test_a_large_table_begins_where_most_rows_do(reader: Reader, tmp_path: Path) -> None:
    rows = "".join(f'"2026-01-03";"Shop {n}";"x";"-{n}.00"\n' for n in range(400))
    document = read(reader, tmp_path, "bank.csv", BANK + rows)
    assert document.length == 401
    assert document.text.startswith("A table of 401 rows and 4 columns.")
    assert "- Payee: 401 of 401 filled" in document.text
    assert "The 2 rows above it:\nAccount | DE12 3456\nPeriod | January\n" in document.text
    assert cited(document, "Period | January") == "line 2"
    assert cited(document, "Baker | bread and rolls") == "line 5"
    assert cited(document, "2026-01-03 | Shop 0") == "line 7"
    assert cited(document, "Its first") == cited(document, "- Day") == "summary"


def test_json_is_whole_or_its_shape(reader: Reader, tmp_path: Path) -> None:
    assert read(reader, tmp_path, "a.json", '{"a": [1, 2]}').text == '{"a": [1, 2]}'
    items = ", ".join(f'{{"id": {n}, "name": "note {n}", "tags": ["x", "y"]}}' for n in range(2000))
    large = read(reader, tmp_path, "b.json", f'{{"version": 3, "items": [{items}]}}')
    assert "- version: number: 3" in large.text
    assert cited(large, "- version") == "summary"
    assert "  - id: 2,000 number from 0 to 1999" in large.text
    assert '  - name: 2,000 text: "note 0"' in large.text
    lines = read(reader, tmp_path, "c.jsonl", '{"a": 1}\n{"a": 2}\n')
    assert (lines.unit, lines.length) == ("rows", 2)
    with pytest.raises(Malformed, match=r"c.jsonl:2: is not JSON"):
        read(reader, tmp_path, "c.jsonl", '{"a": 1}\n{"a": \n')
