"""PowerPoint presentations: the slides in the order in which they are shown, each with its speaker's notes."""

from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from agentd.readers.content import Content, Parts
from agentd.readers.package import local, open_package

_MAIN = "ppt/presentation.xml"
_FURNITURE = {"sldImg", "sldNum", "hdr", "ftr", "dt"}  # of a page of notes


def read(file: BinaryIO, name: str) -> Content:
    """The text of a presentation; raises as `package` does."""
    parts = Parts()
    with open_package(file, name) as package:
        related = package.related(_MAIN)
        listed = [dict(slide.attrib) for slide in package.parse(_MAIN).iter("{*}sldId")]
        ids = [value for slide in listed for key, value in slide.items() if key.endswith("}id")]
        for number, slide in enumerate((related[one][1] for one in ids if one in related), 1):
            text = _text(package.parse(slide))
            notes = [path for kind, path in package.related(slide).values() if kind == "notesSlide"]
            for path in notes:
                if said := _text(package.parse(path), notes=True):
                    text += f"\n\nNotes: {said}"
            parts.add(f"slide {number}", text)
    return parts.content("slides")


def _text(slide: etree._Element, *, notes: bool = False) -> str:
    """The paragraphs of a slide, its tables a row a line; of its notes page only the notes."""
    lines: list[str] = []
    for shape in slide.iter("{*}sp", "{*}graphicFrame"):
        if any(local(around) == "Fallback" for around in shape.iterancestors()):
            continue  # the same again, for old programs
        if notes and any(kind.get("type") in _FURNITURE for kind in shape.iter("{*}ph")):
            continue
        rows = list(shape.iter("{*}tr"))
        lines += [" | ".join(" ".join(_lines(cell)) for cell in row.iter("{*}tc")).rstrip(" |") for row in rows]
        if not rows:
            lines += _lines(shape)
    return "\n".join(line for line in lines if line)


def _lines(element: etree._Element) -> Iterator[str]:
    for paragraph in element.iter("{*}p"):
        pieces = (node.text or "" if node.text else " " for node in paragraph.iter("{*}t", "{*}br"))
        if line := " ".join("".join(pieces).split()):
            yield line
