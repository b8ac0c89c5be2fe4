"""Word documents: every paragraph in order, with tables, text boxes, headers and footers, foot- and endnotes.

Read from the XML itself: libraries made for editing leave out what stands in content controls, text boxes and
tracked insertions, which letters and forms are full of. Deleted text is left out.
"""

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from agentd.readers.content import Content
from agentd.readers.package import Package, local, open_package
from agentd.records import Place

_BODY = "word/document.xml"
_NOTES = ("word/footnotes.xml", "word/endnotes.xml", "word/comments.xml")
# Deleted and moved-away text, what fields are computed from, and the second copy of a text box for old programs.
_LEFT_OUT = {"del", "moveFrom", "instrText", "delText", "Fallback", "rPr", "pPr", "sectPr"}


def read(file: BinaryIO, name: str) -> Content:
    """The text of a Word document, a paragraph or a row of a table a line; raises as `package` does.

    A letterhead is read before the letter: the sender stands there, and often nowhere else.
    """
    with open_package(file, name) as package:
        body = package.parse(_BODY)
        lines = list(_paragraphs(body, _heading_levels(package)))
        for path in _NOTES:
            if path in package.names():
                lines += _paragraphs(package.parse(path), {})
        header, footer = (list(_margin(package, body, kind)) for kind in ("header", "footer"))
    places = list[Place]()
    before = 0
    for named, part in (("header", header), ("", lines), ("footer", footer)):
        places += [Place(before + 1, named, "paragraph")] if part else []
        before += len(part)
    return Content("\n".join([*header, *lines, *footer]), tuple(places), "paragraphs", before)


def _margin(package: Package, body: etree._Element, kind: str) -> Iterator[str]:
    """The lines of all headers or footers, each once: that of the first page says much of what later ones say."""
    related = package.related(_BODY)
    ids = dict.fromkeys(_attribute(reference, "id") for reference in body.iter(f"{{*}}{kind}Reference"))
    paths = [related[one][1] for one in ids if one in related and related[one][1] in package.names()]
    yield from dict.fromkeys(line for path in paths for line in _paragraphs(package.parse(path), {}))


def _heading_levels(package: Package) -> dict[str, int]:
    """By style, the level of the headings that have it."""
    levels: dict[str, int] = {}
    if "word/styles.xml" not in package.names():
        return levels
    for style in package.parse("word/styles.xml").iter("{*}style"):
        for outline in style.iter("{*}outlineLvl"):
            value = _attribute(outline, "val")
            if value.isdigit() and int(value) < 6:
                levels[_attribute(style, "styleId")] = int(value) + 1
    return levels


def _paragraphs(element: etree._Element, levels: dict[str, int]) -> Iterator[str]:
    for child in element:
        match local(child):
            case "p":
                if text := _text(child):
                    level = next((levels.get(_attribute(style, "val"), 0) for style in child.iter("{*}pStyle")), 0)
                    yield f"{'#' * level} {text}" if level else text
                for box in child.iter("{*}txbxContent"):
                    if not any(local(parent) == "Fallback" for parent in box.iterancestors()):
                        yield from _paragraphs(box, levels)
            case "tbl":
                for row in _own(child, "tr"):
                    cells = (" ".join(_paragraphs(cell, {})) for cell in _own(row, "tc"))
                    if text := " | ".join(cells).rstrip(" |"):
                        yield text
            case kind if kind not in _LEFT_OUT:
                yield from _paragraphs(child, levels)


def _own(element: etree._Element, wanted: str) -> Iterator[etree._Element]:
    """The rows of a table or the cells of a row, not those of the tables inside them."""
    for child in element:
        kind = local(child)
        if kind == wanted:
            yield child
        elif kind not in _LEFT_OUT and kind not in ("tbl", "tr", "tc"):
            yield from _own(child, wanted)


def _text(element: etree._Element) -> str:
    """The words of a paragraph in one line, without those of its text boxes."""
    pieces: list[str] = []
    waiting = [element]
    while waiting:
        node = waiting.pop()
        kind = local(node)
        if kind in _LEFT_OUT or kind == "txbxContent" or (kind == "r" and _is_hidden(node)):
            continue
        if kind == "t":
            pieces.append(node.text or "")
        elif kind in ("tab", "br", "cr"):
            pieces.append(" ")
        elif kind == "noBreakHyphen":
            pieces.append("-")
        waiting += reversed(node)
    return " ".join("".join(pieces).split())


def _is_hidden(run: etree._Element) -> bool:
    """Whether Word shows this text to nobody."""
    vanish = run.find("{*}rPr/{*}vanish")
    return vanish is not None and _attribute(vanish, "val") not in ("0", "false")


def _attribute(element: etree._Element, wanted: str) -> str:
    found = (value for name, value in element.attrib.items() if etree.QName(name).localname == wanted)
    return str(next(found, ""))
