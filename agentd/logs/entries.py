"""Which lines make one entry: indented lines and stack traces belong to the line above them.

A rule looks at lines alone, as bytes that are still being written (`boundary`) or as text (`group`), and both
say the same. Whether an entry begins depends on nothing before the entry above it, so reading can stop at any
beginning and go on from there later. Files, positions and patterns are not known here.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

from agentd.errors import ConfigError

NAMES = ("none", "indent", "python", "java", "auto")
_START = "start:"

_TRACEBACK = "Traceback (most recent call last):"
# What Python ends a traceback with: `KeyError: 'a'`, `app.errors.Broken`, `main.<locals>.Broken: x`.
_RAISED = r"[A-Za-z_][\w.<>]*+(?:: |:?\r?$)"

# The kinds of line that a rule tells apart; the first that matches counts.
_KINDS = {
    "blank": r"\r?$",
    "grouped": r" *+\+ Exception Group " + re.escape(_TRACEBACK),
    "frame": r"[ \t]++at |[ \t]*+(?:\.\.\. \d++ |Suppressed: )",
    "indented": r"[ \t]",
    "traceback": re.escape(_TRACEBACK),
    "chained": r"During handling of the above exception, another exception occurred:"
    r"|The above exception was the direct cause of the following exception:",
    "cause": r"Caused by: |\}\r?$",  # Node closes what it shows of an error with a brace
    "goroutine": r"goroutine \d++ \[|\[signal |created by ",
    "panic": r"panic: |fatal error: ",
    # A qualified name, as Java prints it below the message it was logged with.
    "thrown": r"[\w$]++(?:\.[\w$]++)++(?:(?<=Exception)|(?<=Error)|(?<=Throwable))(?=:|\r?$)",
    "raised": _RAISED,
    "call": r"[^\s(]++\(.*\)\r?$",
}
# Bytes know only ASCII words, and both have to say the same.
_KIND = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items()), re.ASCII)
_GROUPED = re.compile(rf" *+\| (?={_RAISED})", re.ASCII)


class Rule(ABC):
    """Tells which lines continue the entry above them. Lines end with a newline, and nothing else ends one."""

    @abstractmethod
    def boundary(self, data: bytes) -> int:
        """How many leading bytes of `data` hold entries that no later line can continue.

        `data` begins with an entry and ends with a newline. The last entry may still grow, so this is where it
        begins: 0 where `data` is one entry.
        """

    @abstractmethod
    def group(self, lines: Sequence[str]) -> list[int]:
        """The index of the first line of every entry, in order; lines come without their newline."""


class _EveryLine(Rule):
    """No line continues another."""

    def boundary(self, data: bytes) -> int:
        return len(data)

    def group(self, lines: Sequence[str]) -> list[int]:
        return list(range(len(lines)))


class _Beginnings(Rule):
    """An entry begins where a pattern matches."""

    def __init__(self, begins: Callable[[str], object]) -> None:
        self._begins = begins

    def boundary(self, data: bytes) -> int:
        start = _last_line(data, len(data))
        while start and not self._begins(_line_at(data, start)):
            start = _last_line(data, start)
        return start

    def group(self, lines: Sequence[str]) -> list[int]:
        if all(map(self._begins, lines)):
            return list(range(len(lines)))
        return [at for at, line in enumerate(lines) if not at or self._begins(line)]


class _State(Enum):
    """What the lines of an entry make one expect of the next."""

    PLAIN = auto()
    FRAMES = auto()  # inside a Python traceback: the exception is still to come
    RAISED = auto()  # below an exception
    CHAINED = auto()  # the next Python traceback is part of this entry
    GOROUTINES = auto()


# What continues an entry, and to which state it leads; a kind that is not named begins the next entry.
_Row = Mapping[str, _State]
_AFTER: dict[_State, _Row] = {
    _State.FRAMES: {
        **dict.fromkeys(("blank", "indented", "frame"), _State.FRAMES),
        **dict.fromkeys(("raised", "thrown"), _State.RAISED),
    },
    _State.RAISED: {
        **dict.fromkeys(("blank", "indented", "frame", "cause"), _State.RAISED),
        "chained": _State.CHAINED,
    },
    _State.CHAINED: {"blank": _State.CHAINED, "traceback": _State.FRAMES, "grouped": _State.RAISED},
    _State.GOROUTINES: dict.fromkeys(("blank", "indented", "frame", "goroutine", "call"), _State.GOROUTINES),
}
_BLANK: _Row = {"blank": _State.PLAIN}
_INDENT: _Row = {**_BLANK, **dict.fromkeys(("indented", "frame", "grouped"), _State.PLAIN)}
_PYTHON: _Row = {"traceback": _State.FRAMES, "grouped": _State.RAISED}
_JAVA: _Row = {"thrown": _State.RAISED}
_STACK: _Row = {**_JAVA, **dict.fromkeys(("frame", "cause"), _State.RAISED)}
_GO: _Row = {"goroutine": _State.GOROUTINES}


class _Traces(Rule):
    """Lines continue an entry for what kind of line they are, and for what the entry holds already."""

    def __init__(self, plain: _Row, opening: _Row) -> None:
        """`plain`: what continues an ordinary line. `opening`: the first lines that make one expect more."""
        self._opening = opening
        # Without an opening, no other state is ever reached, and fewer kinds can continue anything.
        self._after = {_State.PLAIN: plain, **(_AFTER if opening else {})}
        self._joining = frozenset[str | None]().union(*self._after.values())
        # Without a line of these kinds no line continues another. Beginning with a literal makes the search fast.
        self._telling = frozenset(plain) | frozenset(opening)
        found = "\n(?:" + "|".join(_KINDS[kind] for kind in _KINDS if kind in self._telling) + ")"
        self._find = re.compile(found, re.ASCII | re.MULTILINE).search
        self._find_bytes = re.compile(found.encode(), re.MULTILINE).search

    def boundary(self, data: bytes) -> int:
        start = _last_line(data, len(data))
        if _kind(_line_at(data, start)) not in self._joining:
            return start
        # The newline at the end is not followed by a blank line, but by nothing yet.
        if _kind(_line_at(data, 0)) not in self._telling and not self._find_bytes(data, 0, len(data) - 1):
            return start
        starts = [start]
        while starts[-1]:
            starts.append(_last_line(data, starts[-1]))
            if _kind(_line_at(data, starts[-1])) not in self._joining:
                break
        starts.reverse()
        return starts[self._grouped([_line_at(data, at) for at in starts])[-1]]

    def group(self, lines: Sequence[str]) -> list[int]:
        if not lines:
            return []
        if _kind(lines[0]) not in self._telling and not self._find("\n".join(lines)):
            return list(range(len(lines)))
        return self._grouped(lines)

    def _grouped(self, lines: Sequence[str]) -> list[int]:
        begins = []
        state: _State | None = None
        for at, kind in enumerate(map(_kind, lines)):
            following = self._after[state].get(kind or "") if state else None
            if following is None:
                begins.append(at)
                following = self._opening.get(kind or "", _State.PLAIN)
            state = following
        return begins


_RULES: dict[str, Rule] = {
    "none": _EveryLine(),
    "indent": _Traces(_INDENT, {}),
    "python": _Traces({**_BLANK, **_PYTHON}, _PYTHON),
    "java": _Traces({**_BLANK, **_STACK}, _JAVA),
    "auto": _Traces(
        {**_INDENT, **_PYTHON, **_STACK, **_GO},
        {**_PYTHON, **_JAVA, **_GO, "panic": _State.GOROUTINES},
    ),
}


def rule(name_or_pattern: str) -> Rule:
    """The rule of that name, or of `start: REGEX`: an entry begins where the regex matches a line's beginning.

    Raises `ConfigError` where it is neither, or the regex is broken.
    """
    if name_or_pattern in _RULES:
        return _RULES[name_or_pattern]
    if not name_or_pattern.startswith(_START):
        raise ConfigError(f"{name_or_pattern!r} is no rule for entries: {', '.join(NAMES)} or start: REGEX")
    pattern = name_or_pattern.removeprefix(_START).strip()
    try:
        return _Beginnings(re.compile(pattern).match)
    except re.error as broken:
        raise ConfigError(f"the regex {pattern!r} is broken: {broken}") from None


def summary(entry_lines: Sequence[str]) -> str:
    """What is mined of an entry: its first line, the exception in it and its last cause, joined by ` | `.

    A traceback that stands alone is told by its exception.
    """
    first, *rest = entry_lines
    if not rest:
        return first
    raised, cause = _exceptions([first, *_dedented(rest)])
    first = first.rstrip()
    told = [first] if _kind(first) not in ("blank", "traceback", "grouped") else []
    told += [line for line in (raised, cause) if line and line != first]
    return " | ".join(told) or first


def _exceptions(lines: Sequence[str]) -> tuple[str, str]:
    """The line of the exception, of the last one where Python chained them, and Java's last cause."""
    raised = thrown = cause = ""
    tracing = grouping = False
    for line in lines:
        kind = _kind(line)
        if kind == "grouped":
            grouping = True
        elif grouping and (said := _GROUPED.match(line)):
            raised, grouping = line[said.end() :], False
        elif _TRACEBACK in line and kind != "indented":
            tracing = True
        elif tracing and kind in ("raised", "thrown"):
            raised, tracing = line, False
        elif kind == "thrown":
            thrown = thrown or line
        elif line.startswith("Caused by: "):
            cause = line
    return (raised or thrown).rstrip(), cause.rstrip()


def _dedented(lines: Sequence[str]) -> Sequence[str]:
    """The lines without the indent that the journal's are given, where all of them have it."""
    if all(line.startswith("    ") for line in lines if line.strip()):
        return [line[4:] for line in lines]
    return lines


def _kind(line: str) -> str | None:
    found = _KIND.match(line)
    return found and found.lastgroup


def _last_line(data: bytes, end: int) -> int:
    """Where the line begins that ends, with its newline, at `end`."""
    return data.rfind(b"\n", 0, max(end - 1, 0)) + 1


def _line_at(data: bytes, start: int) -> str:
    """The line that begins there, without its newline."""
    return data[start : data.index(b"\n", start)].decode(errors="replace")
