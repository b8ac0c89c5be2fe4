"""PDF, page by page: PDFium gives characters and where they stand, this puts lines into the order of reading.

PDFium tells text in the order in which it was drawn, and programs draw headers and footers when they like. A
block that stands above another one in the same column is read before it; otherwise the order of drawing stays.
Pages that are pictures go through `ocr`.
"""

import ctypes
import itertools
import re
import statistics
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import pypdfium2
import pypdfium2.raw as pdfium

from agentd.errors import Encrypted, Malformed, NoTextLayer
from agentd.readers import ocr
from agentd.readers.content import Content, Parts

# What PDFium puts for the hyphen of a word that was cut at the end of a line, and the line end after it.
_CUT_WORD = re.compile(r"[\ufffe\x02]\n?")
_SYMBOL = re.compile(r"[\ue000-\uf8ff]")  # of a font of pictures, such as the bullets of word processors
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Old TeX fonts draw an accent before its letter.
_ACCENTS = dict(zip("´`¨ˆ˜¸ˇ˚", "\u0301\u0300\u0308\u0302\u0303\u0327\u030c\u030a", strict=True))
_ACCENTED = re.compile(f"([{''.join(_ACCENTS)}])(\\w)")
_LINE_GAP = 3.0  # heights between two lines of one block, at most
_OVERLAP = 0.25  # of its height, by which a line may stand lower than the one above it
_STEP = 0.4  # heights by which a letter may stand higher or lower than the one before it
_TURNED = 0.1  # radians from which text that steps along is turned
_SMALLER = 0.85  # of its neighbour's height: below, one of them is an exponent or an index
_APART = 0.15  # heights between two letters beyond which there is a space between them
_TOGETHER = 0.13  # heights below which there is none, where
_SPREAD = 0.05  # heights are between all letters of the line, give or take as much
_SPACE = 32
_IDEOGRAPHS = 0x2E80  # from here on, scripts that need no spaces

_TextPage: TypeAlias = "ctypes._Pointer[ctypes.Structure]"
_Box = tuple[float, float, float, float]  # left, bottom, right, top, in points from below
_Glyph = tuple[int, _Box | None, int]  # code unit, where it stands, its index


@dataclass(slots=True)
class _Block:
    """Lines that follow each other, and the rectangle around them, in points from below."""

    lines: list[str]
    left: float
    bottom: float
    right: float
    top: float
    last: _Box  # of the last line

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
    text = _SYMBOL.sub("•", _CUT_WORD.sub("", "\n".join(lines)))
    return _ACCENTED.sub(_compose, _CONTROL.sub("", text))


def _blocks(textpage: _TextPage) -> list[_Block]:
    """The lines of a page in the order of drawing, together where one follows below or beside the other."""
    blocks: list[_Block] = []
    for text, (left, bottom, right, top) in _lines(textpage):
        if blocks and _continues(blocks[-1].last, (left, bottom, right, top)):
            block = blocks[-1]
            if _is_beside(block.last, (left, bottom, right, top)) and left - block.last[2] < top - bottom:
                # PDFium ends a line after an exponent.
                block.lines[-1] = f"{block.lines[-1].rstrip()} {text.lstrip()}"
                left, bottom, top = block.last[0], min(bottom, block.last[1]), max(top, block.last[3])
            else:
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


def _continues(above: _Box, line: _Box) -> bool:
    left, _, right, top = line
    height = above[3] - above[1]
    if _is_beside(above, line):
        return True
    below = top <= above[3] + 1 and above[1] - top < _LINE_GAP * (height + 1)
    return below and _share_column(left, right, above[0], above[2])


def _is_beside(before: _Box, line: _Box) -> bool:
    """Whether this stands on the same line, further right."""
    far = abs((line[1] + line[3]) - (before[1] + before[3]))
    return far < before[3] - before[1] and line[0] >= before[2] - 1


def _share_column(left: float, right: float, other_left: float, other_right: float) -> bool:
    return min(right, other_right) > max(left, other_left)


def _lines(textpage: _TextPage) -> Iterator[tuple[str, _Box]]:
    """Every line that was drawn, with the rectangle of its first, middle and last character."""
    glyphs: list[_Glyph] = []
    for index in range(pdfium.FPDFText_CountChars(textpage) + 1):
        unit = pdfium.FPDFText_GetUnicode(textpage, index) or 10  # past the end it is 0
        if unit not in (10, 13):
            glyphs.append((unit, _box(textpage, index), index))
            continue
        for line in _cut_at_steps(textpage, glyphs):
            boxes = [box for _, box, _ in (line[0], line[len(line) // 2], line[-1]) if box]
            if boxes:
                lefts, bottoms, rights, tops = zip(*boxes, strict=True)
                yield _space_out(textpage, line), (min(lefts), min(bottoms), max(rights), max(tops))
        glyphs = []


def _cut_at_steps(textpage: _TextPage, glyphs: Sequence[_Glyph]) -> Iterator[Sequence[_Glyph]]:
    """A line in two where letters of one size step up or down, as from cell to cell of a table."""
    start = 0
    before: _Box | None = None
    for at, (unit, box, index) in enumerate(glyphs):
        if not box or box[3] <= box[1] or unit == _SPACE:
            continue
        height = box[3] - box[1]
        if before and abs(box[1] - before[1]) > _STEP * height:
            alike = _SMALLER * height < before[3] - before[1] < height / _SMALLER
            if alike and abs(pdfium.FPDFText_GetCharAngle(textpage, index)) < _TURNED:
                yield glyphs[start:at]
                start = at
        before = box
    if start < len(glyphs):
        yield glyphs[start:]


def _space_out(textpage: _TextPage, line: Sequence[_Glyph]) -> str:
    """The text of a line, with a space wherever its letters stand apart and no guessed one where they do not.

    PDFium guesses by the widths of spaces in fonts, which go wrong where every word or letter is placed by itself.
    """
    seen = [(at, box) for at, (unit, box, _) in enumerate(line) if unit != _SPACE and box and box[3] > box[1]]
    units = [unit for unit, _, _ in line]
    if len(seen) < 2 or abs(seen[0][1][1] - seen[-1][1][1]) > seen[0][1][3] - seen[0][1][1]:
        return _text(units)  # turned text
    gaps = [
        (at, other_at - at > 1, (other[0] - box[2]) / (box[3] - box[1]))
        for (at, box), (other_at, other) in itertools.pairwise(seen)
    ]
    if not any(_SPREAD < gap < _TOGETHER if spaced else gap > _APART for _, spaced, gap in gaps):
        return _text(units)
    usual = statistics.median(gap for _, _, gap in gaps)
    for at, spaced, gap in reversed(gaps):
        if not spaced and gap > _APART + max(usual, 0.0) and max(units[at], units[at + 1]) < _IDEOGRAPHS:
            units.insert(at + 1, _SPACE)
        elif (
            spaced
            and _SPREAD < gap < _TOGETHER
            and abs(gap - usual) < _SPREAD
            and pdfium.FPDFText_IsGenerated(textpage, line[at + 1][2]) == 1
        ):
            del units[at + 1]
    return _text(units)


def _box(textpage: _TextPage, index: int) -> _Box | None:
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
