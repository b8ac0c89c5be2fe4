"""OpenDocument texts: headings, paragraphs, lists and tables in order, without what was deleted."""

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from agentd.readers.content import Content, paragraphs
from agentd.readers.package import local, open_package

_LEFT_OUT = {"tracked-changes", "forms", "sequence-decls", "annotation"}


def read(file: BinaryIO, name: str) -> Content:
    """The text of a document, a paragraph or a row of a table a line; raises as `package` does."""
    with open_package(file, name) as package:
        root = package.parse("content.xml")
    body = root.find("{*}body")
    return paragraphs(list(_paragraphs(root if body is None else body)), "paragraph")


def _paragraphs(element: etree._Element) -> Iterator[str]:
    for child in element:
        match local(child):
            case "h" if text := _text(child):
                level = next((v for k, v in child.attrib.items() if str(k).endswith("outline-level")), "1")
                yield f"{'#' * min(int(level), 6) if str(level).isdigit() else '#'} {text}"
            case "p" if text := _text(child):
                yield text
            case "table-row":
                cells = (" ".join(_paragraphs(cell)) for cell in child if local(cell) == "table-cell")
                if text := " | ".join(cells).rstrip(" |"):
                    yield text
            case kind if kind not in _LEFT_OUT | {"h", "p"}:
                yield from _paragraphs(child)
        # What is anchored in a paragraph, such as a text frame, stands after it.
        if local(child) in ("h", "p"):
            for frame in child.iter("{*}text-box"):
                yield from _paragraphs(frame)


def _text(element: etree._Element) -> str:
    pieces: list[str] = []

    def collect(node: etree._Element) -> None:
        kind = local(node)
        if kind in _LEFT_OUT or kind in ("", "text-box"):
            return
        if kind in ("tab", "line-break", "s"):
            pieces.append(" ")
        pieces.append(node.text or "")
        for child in node:
            collect(child)
            pieces.append(child.tail or "")

    collect(element)
    return " ".join("".join(pieces).split())
