"""Small documents of every kind, made from nothing but what their formats ask for."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl

W = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
A = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"'
)
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_ESCAPED = re.compile(rb"[\\()]")
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive with these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return buffer.getvalue()


def docx(body: str, styles: str = "", **more: str) -> bytes:
    """A Word document with this body in XML."""
    parts = {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
    }
    if styles:
        parts["word/styles.xml"] = f"<w:styles {W}>{styles}</w:styles>"
    parts["word/_rels/document.xml.rels"] = (
        f'<Relationships xmlns="{RELATIONS}">'
        + "".join(
            f'<Relationship Id="{name}" Type="{OFFICE}/{name.rstrip("0123456789")}" Target="{name}.xml"/>'
            for name in more
        )
        + "</Relationships>"
    )
    return archive(parts | {f"word/{name}.xml": f"<w:notes {W}>{xml}</w:notes>" for name, xml in more.items()})


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of a Word document."""
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{named}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pptx(
    slides: Sequence[str], notes: Mapping[int, str], order: Sequence[int], table: Sequence[Sequence[str]] = ()
) -> bytes:
    """A presentation whose slides, each a text, are shown in `order`, all with this table."""
    listed = "".join(f'<p:sldId id="{256 + n}" r:id="rId{n}"/>' for n in order)
    parts = {
        "ppt/presentation.xml": f"<p:presentation {A}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": f'<Relationships xmlns="{RELATIONS}">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{OFFICE}/slide" Target="slides/slide{n}.xml"/>'
            for n in range(len(slides))
        )
        + "</Relationships>",
    }
    for number, text in enumerate(slides):
        parts[f"ppt/slides/slide{number}.xml"] = _slide(text, "title", table)
        if number in notes:
            parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = (
                f'<Relationships xmlns="{RELATIONS}"><Relationship Id="rId1" Type="{OFFICE}/notesSlide" '
                f'Target="../notesSlides/notes{number}.xml"/></Relationships>'
            )
            parts[f"ppt/notesSlides/notes{number}.xml"] = _slide(notes[number], "body")
    return archive(parts)


def odt(body: str, styles: str = "") -> bytes:
    """An OpenDocument text with this body, and these styles, in XML."""
    body = f"<office:body><office:text>{body}</office:text></office:body>"
    styles = f"<office:automatic-styles>{styles}</office:automatic-styles>"
    content = f"<office:document-content {ODF}>{styles}{body}</office:document-content>"
    return archive({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})


def epub(chapters: Sequence[str], order: Sequence[int], css: str = "") -> bytes:
    """A book whose chapters, each the body of a page, are read in `order`."""
    items = "".join(
        f'<item id="c{n}" href="text/c%20{n}.xhtml" media-type="application/xhtml+xml"/>'
        for n in range(len(chapters))
    )
    items += '<item id="css" href="book.css" media-type="text/css"/>'
    spine = "".join(f'<itemref idref="c{n}"/>' for n in order)
    container = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    pages = {f"OEBPS/text/c {n}.xhtml": f"<html><body>{body}</body></html>" for n, body in enumerate(chapters)}
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            "OEBPS/book.css": css,
            **pages,
        }
    )


def xlsx(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """A workbook with these rows."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    workbook.save(path)


def pdf(pages: Sequence[Sequence[tuple[float, float, str]] | bytes]) -> bytes:
    """A PDF of pages: each a list of (x, y, text) in the order of drawing, or operators within one text object.

    A page without text is a picture.
    """
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages))), len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        if isinstance(page, bytes):
            drawn = b"BT /F1 12 Tf 72 700 Td %s ET\n" % page
        else:
            drawn = b"".join(
                b"BT /F1 12 Tf %g %g Td (%s) Tj ET\n" % (x, y, _ESCAPED.sub(rb"\\\g<0>", text.encode("latin-1")))
                for x, y, text in page
            )
        if not page:
            # An inline picture of one grey point over the whole page.
            drawn = b"q 600 0 0 800 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q\n"
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _slide(text: str, kind: str, table: Sequence[Sequence[str]] = ()) -> str:
    lines = "".join(map(_slide_line, text.split("\n")))
    rows = "".join(
        f"<a:tr>{''.join(f'<a:tc><a:txBody>{_slide_line(cell)}</a:txBody></a:tc>' for cell in row)}</a:tr>"
        for row in table
    )
    return (
        f'<p:sld {A}><p:cSld><p:spTree><p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        f"<p:txBody>{lines}</p:txBody></p:sp><p:graphicFrame><a:tbl>{rows}</a:tbl></p:graphicFrame>"
        "</p:spTree></p:cSld></p:sld>"
    )


def _slide_line(text: str) -> str:
    return f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
