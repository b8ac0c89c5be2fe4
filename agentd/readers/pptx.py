"""PowerPoint presentations: the slides in the order in which they are shown, each with its speaker's notes."""

from typing import BinaryIO

from lxml import etree

from agentd.readers.content import Content, Parts
from agentd.readers.package import open_package

_MAIN = "ppt/presentation.xml"


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
    """The paragraphs of a slide; of its notes page only the notes, not the slide's number and picture."""
    shapes = list(slide.iter("{*}sp", "{*}graphicFrame"))
    if notes:
        shapes = [shape for shape in shapes if any(kind.get("type") == "body" for kind in shape.iter("{*}ph"))]
    lines = []
    for shape in shapes:
        for paragraph in shape.iter("{*}p"):
            pieces = (node.text or "" if node.text else " " for node in paragraph.iter("{*}t", "{*}br"))
            if line := " ".join("".join(pieces).split()):
                lines.append(line)
    return "\n".join(lines)
