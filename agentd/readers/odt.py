"""OpenDocument texts: headings, paragraphs, lists and tables in order, then notes and comments.

What was deleted is left out, and what nobody is shown.
"""

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from agentd.errors import Encrypted
from agentd.readers.content import SOFT_HYPHEN, Content, paragraphs
from agentd.readers.package import Package, local, open_package

_MANIFEST = "META-INF/manifest.xml"
_LEFT_OUT = {"tracked-changes", "forms", "sequence-decls"}
_NOTES = {"note", "annotation"}  # which stand at the end, where they break no sentence


def read(file: BinaryIO, name: str) -> Content:
    """The text of a document, a paragraph or a row of a table a line; raises as `package` does."""
    with open_package(file, name) as package:
        if (
            _MANIFEST in package.names()
            and next(package.parse(_MANIFEST).iter("{*}encryption-data"), None) is not None
        ):
            raise Encrypted(f"{name} is protected by a password", hint="save it without one")
        root = package.parse("content.xml")
        _drop_hidden(root, _hidden_styles(package, root))
    body = root.find("{*}body")
    shown = root if body is None else body
    lines = list(_paragraphs(shown))
    for note in shown.iter("{*}note-body", "{*}annotation"):
        lines += _paragraphs(note)
    return paragraphs(lines, "paragraph")


def _hidden_styles(package: Package, root: etree._Element) -> set[str]:
    """The names of the styles whose text nobody is shown."""
    roots = [root, *([package.parse("styles.xml")] if "styles.xml" in package.names() else [])]
    return {
        _attribute(style, "name")
        for one in roots
        for style in one.iter("{*}style")
        if any(_attribute(kind, "display") == "none" for kind in style.iter("{*}text-properties"))
    }


def _drop_hidden(root: etree._Element, styles: set[str]) -> None:
    """Take out what is hidden, and leave what follows it."""
    for element in list(root.iter("{*}span", "{*}p", "{*}h", "{*}section")):
        if _attribute(element, "style-name") in styles or _attribute(element, "display") == "none":
            tail = element.tail
            element.clear()
            element.tail = tail


def _paragraphs(element: etree._Element) -> Iterator[str]:
    for child in element:
        match local(child):
            case "h" if text := _text(child):
                level = _attribute(child, "outline-level") or "1"
                yield f"{'#' * min(int(level), 6) if level.isdigit() else '#'} {text}"
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
        if kind in _LEFT_OUT or kind in _NOTES or kind in ("", "text-box"):
            return
        if kind in ("tab", "line-break", "s"):
            pieces.append(" ")
        pieces.append(node.text or "")
        for child in node:
            collect(child)
            pieces.append(child.tail or "")

    collect(element)
    return " ".join("".join(pieces).replace(SOFT_HYPHEN, "").split())


def _attribute(element: etree._Element, wanted: str) -> str:
    found = (value for name, value in element.attrib.items() if etree.QName(name).localname == wanted)
    return str(next(found, ""))
