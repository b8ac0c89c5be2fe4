"""PDF, page by page: PDFium gives characters and where they stand, this puts lines into the order of reading.

PDFium tells text in the order in which it was drawn, and programs draw headers and footers when they like. A
block that stands above another one in the same column is read before it; otherwise the order of drawing stays.
Pages that are pictures go through `ocr`.
"""

import ctypes
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from agentd.errors import Encrypted, Malformed, NoTextLayer
from agentd.readers import ocr
from agentd.readers.content import Content, Parts

# What PDFium puts for the hyphen of a word that was cut at the end of a line, and the line end after it.
_CUT_WORD = re.compile(r"[\ufffe\x02]\n?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Old TeX fonts draw an accent before its letter.
_ACCENTS = dict(zip("´`¨ˆ˜¸ˇ˚", "\u0301\u0300\u0308\u0302\u0303\u0327\u030c\u030a", strict=True))
_ACCENTED = re.compile(f"([{''.join(_ACCENTS)}])(\\w)")
_LINE_GAP = 3.0  # heights between two lines of one block, at most
_OVERLAP = 0.25  # of its height, by which a line may stand lower than the one above it


@dataclass(slots=True)
class _Block:
    """Lines that follow each other, and the rectangle around them, in points from below."""

    lines: list[str]
    left: float
    bottom: float
    right: float
    top: float
    last: tuple[float, float, float, float]  # of the last line: left, bottom, right, top

    def is_above(self, other: "_Block") -> bool:
        """Whether all of this stands over `other` in the same column."""
        slack = _OVERLAP * min(self.top - self.bottom, other.top - other.bottom)
        return self.bottom >= other.top - slack and _share_column(self.left, self.right, other.left, other.right)


def read(file: BinaryIO, name: str, tick: Callable[[], None]) -> Content:
    """The text of a PDF, with a `tick` after every page; raises `Encrypted`, `Malformed` or `NoTextLayer`."""
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as broken:
        if broken.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Encrypted(
                f"{name} cannot be opened without its password", hint="qpdf --decrypt IN OUT"
            ) from broken
        raise Malformed(f"{name} begins like a PDF and is broken: {broken}") from broken
    parts = Parts()
    recognise = ocr.find_program()
    for number in range(len(document)):
        page_name = f"page {number + 1}"
        try:
            page = document[number]
        except pypdfium2.PdfiumError as broken:
            parts.add(page_name, "")
            parts.unread.append(f"{page_name}: {broken}")
            continue
        text = _page_text(page)
        if not text.strip() and _has_picture(page):
            text = ocr.read_page(page, recognise) if recognise else ""
            if not text.strip():
                parts.unread.append(f"{page_name}: {'no text found by OCR' if recognise else 'no text layer'}")
        parts.add(page_name, text)
        page.close()
        tick()
    content = parts.content("pages")
    if not content.text and parts.unread:
        tried = (
            "and tesseract finds no text in them"
            if recognise
            else "and tesseract, which reads those, is not installed"
        )
        raise NoTextLayer(
            f"{name} has no text layer: its {len(document):,} pages are pictures, {tried}",
            hint="apt install tesseract-ocr, or brew install tesseract",
        )
    return content


def _page_text(page: pypdfium2.PdfPage) -> str:
    textpage = page.get_textpage()
    try:
        lines = in_reading_order(_blocks(textpage.raw))
    finally:
        textpage.close()
    text = _CUT_WORD.sub("", "\n".join(lines))
    return _ACCENTED.sub(_compose, _CONTROL.sub("", text))


def _blocks(textpage: "ctypes._Pointer[ctypes.Structure]") -> list[_Block]:
    """The lines of a page in the order of drawing, together where one follows below or beside the other."""
    blocks: list[_Block] = []
    for text, (left, bottom, right, top) in _lines(textpage):
        if blocks and _continues(blocks[-1].last, (left, bottom, right, top)):
            block = blocks[-1]
            block.lines.append(text)
            block.left, block.right = min(block.left, left), max(block.right, right)
            block.bottom, block.top = min(block.bottom, bottom), max(block.top, top)
            block.last = (left, bottom, right, top)
        else:
            blocks.append(_Block([text], left, bottom, right, top, (left, bottom, right, top)))
    return blocks


def in_reading_order(blocks: Sequence[_Block]) -> list[str]:
    """The lines of blocks: as drawn, but none before what stands above it."""
    waiting, lines = list(blocks), list[str]()
    while waiting:
        first = next(
            (block for block in waiting if not any(o is not block and o.is_above(block) for o in waiting)),
            waiting[0],  # blocks that overlap may stand above each other in a circle
        )
        waiting.remove(first)
        lines += first.lines
    return lines


def _continues(above: tuple[float, float, float, float], line: tuple[float, float, float, float]) -> bool:
    left, bottom, right, top = line
    height = above[3] - above[1]
    if abs((bottom + top) - (above[1] + above[3])) < height and left >= above[2] - 1:
        return True  # on the same line, further right
    below = top <= above[3] + 1 and above[1] - top < _LINE_GAP * (height + 1)
    return below and _share_column(left, right, above[0], above[2])


def _share_column(left: float, right: float, other_left: float, other_right: float) -> bool:
    return min(right, other_right) > max(left, other_left)


def _lines(textpage: "ctypes._Pointer[ctypes.Structure]") -> list[tuple[str, tuple[float, float, float, float]]]:
    """Every line that was drawn with the rectangle of its first, middle and last character."""
    lines: list[tuple[str, tuple[float, float, float, float]]] = []
    units: list[int] = []
    indexes: list[int] = []
    for index in range(pdfium.FPDFText_CountChars(textpage) + 1):
        unit = pdfium.FPDFText_GetUnicode(textpage, index) or 10  # past the end it is 0
        if unit not in (10, 13):
            units.append(unit)
            indexes.append(index)
            continue
        if units:
            ends = (indexes[0], indexes[len(indexes) // 2], indexes[-1])
            boxes = [box for at in dict.fromkeys(ends) if (box := _box(textpage, at))]
            if boxes:
                lefts, bottoms, rights, tops = zip(*boxes, strict=True)
                lines.append((_text(units), (min(lefts), min(bottoms), max(rights), max(tops))))
        units, indexes = [], []
    return lines


def _box(textpage: "ctypes._Pointer[ctypes.Structure]", index: int) -> tuple[float, float, float, float] | None:
    box = pdfium.FS_RECTF()
    if not pdfium.FPDFText_GetLooseCharBox(textpage, index, box):
        return None
    return box.left, box.bottom, box.right, box.top


def _text(units: Sequence[int]) -> str:
    """The text of code units; halves of a surrogate pair may come apart or together."""
    text = "".join(map(chr, units))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _compose(match: re.Match[str]) -> str:
    letter = match[2].replace("ı", "i")
    composed = unicodedata.normalize("NFC", letter + _ACCENTS[match[1]])
    return composed if len(composed) == 1 else match[0]


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    return any(True for _ in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3))
