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
    unread: tuple[str, ...] = ()  # units that could not be read, and why

    def to_wire(self) -> Frame:
        """The content as JSON, for the socket."""
        places = [[place.line, place.name, place.counts, place.first] for place in self.places]
        return {
            "text": self.text,
            "places": places,
            "unit": self.unit,
            "units": self.units,
            "unread": list(self.unread),
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> "Content":
        """Rebuild what `to_wire` made."""
        places = tuple(Place(*place) for place in wire["places"])
        return cls(wire["text"], places, wire["unit"], wire["units"], tuple(wire["unread"]))


class Parts:
    """Collects the parts of a document, such as its pages, into one text."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._places: list[Place] = []
        self._line = 1
        self.unread: list[str] = []

    def add(self, name: str, text: str, counts: str = "", first: int = 1) -> None:
        """Add a part under its name; lines of its text are cited by what they `counts`, from `first` on."""
        text = tidy(text)
        self._places.append(Place(self._line, name, counts, first))
        if text:
            self._texts.append(text)
            self._line += text.count("\n") + 2  # its lines, and the blank one after it

    def add_content(self, name: str, content: Content) -> None:
        """Add a whole document as a part, its places below its name."""
        if not content.places:
            self.add(name, content.text, "line")
            return
        start = self._line
        for place in content.places:
            shown = ", ".join(part for part in (name, place.name) if part)
            self._places.append(Place(start + place.line - 1, shown, place.counts, place.first))
        self._texts.append(content.text)
        self._line += content.text.count("\n") + 2
        self.unread += [f"{name}, {told}" for told in content.unread]

    def content(self, unit: str) -> Content:
        """All of it, as long as it has parts."""
        return Content("\n\n".join(self._texts), tuple(self._places), unit, len(self._places), tuple(self.unread))


def tidy(text: str) -> str:
    """A text with plain line ends and without blank lines around it; lines keep their number."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").strip("\n").rstrip()


def paragraphs(lines: Sequence[str], unit: str) -> Content:
    """A text whose lines are numbered paragraphs or rows."""
    return Content("\n".join(lines), (Place(1, "", unit),), f"{unit}s", len(lines))
