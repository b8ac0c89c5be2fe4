"""Texts of PDFs are compared word by word, in order, page by page."""

import gzip
from pathlib import Path

from agentd.records import Place
from benchmarks import pdf
from tests.readers import making
from tests.tasks.conftest import document


def test_words_count_that_are_given_in_the_same_order() -> None:
    wanted = pdf.words_of("The ﬁrst, second and third.")
    assert wanted == ["The", "first", "second", "and", "third"]
    assert pdf.count_in_order(wanted, pdf.words_of("The first second and third")) == 5
    assert pdf.count_in_order(wanted, pdf.words_of("third The first and")) == 3
    assert pdf.count_in_order(wanted, []) == 0


def test_pages_are_told_apart_by_the_places_of_a_document() -> None:
    places = (Place(1, "page 1"), Place(4, "page 2"), Place(4, "page 3"))
    paged = document("one\ntwo\n\nthree")
    read = paged.__class__(paged.source, paged.content, paged.text, places=places)
    assert pdf.pages_of(read) == ["one\ntwo\n", "", "three"]


def test_pdfs_are_found_once_each_packed_or_not(tmp_path: Path) -> None:
    raw = making.pdf([[(72.0, 700.0, "text")]])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.pdf").write_bytes(raw)
    (tmp_path / "docs" / "b.pdf").write_bytes(raw)
    (tmp_path / "docs" / "c.pdf.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "docs" / "d.pdf.db.txt").write_text("no PDF")
    found = list(pdf.find([tmp_path / "docs"], tmp_path))
    assert [name for name, _ in found] == ["a.pdf", "c.pdf"]
    assert all(file.read_bytes() == raw for _, file in found)
