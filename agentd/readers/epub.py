"""EPUB books: the chapters in the order in which they are read."""

import posixpath
import urllib.parse
from typing import BinaryIO

from lxml import etree

from agentd.errors import Encrypted, Malformed
from agentd.readers.content import Content, Parts
from agentd.readers.html import to_text_of_book
from agentd.readers.package import Package, open_package

_CONTAINER = "META-INF/container.xml"


def read(file: BinaryIO, name: str) -> Content:
    """The text of a book; raises `Encrypted` for one with copy protection, and as `package` does."""
    parts = Parts()
    with open_package(file, name) as package:
        if "META-INF/rights.xml" in package.names():
            raise Encrypted(f"{name} is protected against copying and cannot be read")
        chapters, styles = _find(package, name)
        css = "\n".join(
            package.read(path).decode("utf-8", "replace") for path in styles if path in package.names()
        )
        for number, path in enumerate(chapters, 1):
            parts.add(f"chapter {number}", to_text_of_book(package.read(path), f"{name}, {path}", css))
    return parts.content("chapters")


def _find(package: Package, name: str) -> tuple[list[str], list[str]]:
    """The paths of the chapters in order, and of the style sheets."""
    roots = package.parse(_CONTAINER).iter("{*}rootfile")
    path = next((root.get("full-path") for root in roots if root.get("full-path")), None)
    if path is None:
        raise Malformed(f"{name} is incomplete: {_CONTAINER} names no book")
    book = package.parse(path)
    items = {item.get("id"): item for item in book.iter("{*}item")}
    spine = [items[one.get("idref")] for one in book.iter("{*}itemref") if one.get("idref") in items]
    chapters = [_resolve(path, item) for item in spine if "html" in (item.get("media-type") or "")]
    return chapters, [_resolve(path, item) for item in items.values() if item.get("media-type") == "text/css"]


def _resolve(path: str, item: etree._Element) -> str:
    target = urllib.parse.unquote(item.get("href") or "")
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
