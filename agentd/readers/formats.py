"""The readers of every kind of file but small text, in one list. Runs in the reader child, which has limits."""

from collections.abc import Callable
from typing import BinaryIO

from agentd.errors import NotText
from agentd.readers import code, diff, docx, email, epub, html, odt, pdf, pptx, structured, tables, xlsx
from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.readers.kinds import sniff

Tick = Callable[[], None]


def _read_text(file: BinaryIO, name: str) -> Content:
    return Content(decode(file.read(), name))


READERS: dict[str, Callable[[BinaryIO, str], Content]] = {
    "text": _read_text,
    "markdown": _read_text,
    "html": html.read,
    "docx": docx.read,
    "xlsx": xlsx.read,
    "pptx": pptx.read,
    "odt": odt.read,
    "epub": epub.read,
    "csv": tables.read,
    "json": structured.read,
    "code": code.read,
    "diff": diff.read,
}


def read_as(kind: str, file: BinaryIO, name: str, tick: Tick) -> Content:
    """The content of a file of a kind; raises a kind of `InputError`. `tick` is called after every long step."""
    if kind == "pdf":
        return pdf.read(file, name, tick)
    if kind == "email":
        return email.read(file, name, lambda inner, shown: _read_attachment(inner, shown, tick))
    return READERS[kind](file, name)


def _read_attachment(file: BinaryIO, name: str, tick: Tick) -> Content:
    kind = sniff(file, name)
    if kind == "email":
        raise NotText(f"{name} is an e-mail in an e-mail, which is not opened")
    return read_as(kind, file, name, tick)
