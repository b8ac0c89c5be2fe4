"""What a reader of any format gives: text with places. Which file it was and how it hashes is not known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentd.frames import Frame
from agentd.records import Place

SOFT_HYPHEN = "\u00ad"  # where a word may be cut, which no reader needs to know


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a file."""

    text: str
    places: tuple[Place, ...] = ()
    unit: str = "lines"
    units: int | None = None  # None for as many as the text has lines
    starts: tuple[int, ...] = ()  # the lines on which units begin, where a unit is no line
    unread: tuple[str, ...] = ()  # units that could not be read or only in part, and why: each once

    def to_wire(self) -> Frame:
        """The content as JSON, for the socket."""
        places = [[place.line, place.name, place.counts, place.first] for place in self.places]
        return {
            "text": self.text,
            "places": places,
            "unit": self.unit,
            "units": self.units,
            "starts": list(self.starts),
            "unread": list(self.unread),
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Content":
        """Rebuild what `to_wire` made."""
        places = tuple(Place(*place) for place in wire["places"])
        starts, unread = tuple(wire["starts"]), tuple(wire["unread"])
        return cls(wire["text"], places, wire["unit"], wire["units"], starts, unread)


class Parts:
    """Collects the parts of a document, such as its pages, into one text. A part begins a unit or goes on."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._places: list[Place] = []
        self._starts: list[int] = []
        self._line = 1
        self.unread: list[str] = []

    def add(self, name: str, text: str, counts: str = "", first: int = 1, *, begins: bool = True) -> None:
        """Add a part under its name; lines of its text are cited by what they `counts`, from `first` on."""
        text = tidy(text)
        self._starts += [self._line] if begins else []
        self._places.append(Place(self._line, name, counts, first))
        if text:
            self._texts.append(text)
            self._line += text.count("\n") + 2  # its lines, and the blank one after it

    def add_content(self, name: str, content: Content, *, begins: bool = True) -> None:
        """Add a whole document as a part, its places below its name."""
        if content.unread:
            self.unread.append(f"{name}, {'; '.join(content.unread)}")
        if not content.places:
            self.add(name, content.text, "line", begins=begins)
            return
        start = self._line
        self._starts += [start] if begins else []
        for place in content.places:
            shown = ", ".join(part for part in (name, place.name) if part)
            self._places.append(Place(start + place.line - 1, shown, place.counts, place.first))
        self._texts.append(content.text)
        self._line += content.text.count("\n") + 2

    def content(self, unit: str) -> Content:
        """All of it, as long as it has parts."""
        places, starts = tuple(self._places), tuple(self._starts)
        return Content("\n\n".join(self._texts), places, unit, len(starts), starts, tuple(self.unread))


def tidy(text: str) -> str:
    """A text with plain line ends and without blank lines around it; lines keep their number."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").strip("\n").rstrip()


def paragraphs(lines: Sequence[str], unit: str) -> Content:
    """A text whose lines are numbered paragraphs or rows."""
    return Content("\n".join(lines), (Place(1, "", unit),), f"{unit}s", len(lines))
