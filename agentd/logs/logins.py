"""Logins that were accepted after failures from the same address: the one proof of a break-in that a log holds.

Counted line by line and in order, by code: that somebody failed, and that somebody was let in, are no break-in
together unless both came from one place. Patterns and severities are not known here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from agentd.logs.profile import Example

# Whoever mistypes a password twice and then gets it right is at home.
FAILURES = 5
MAX_ADDRESSES = 20_000
MAX_BREAK_INS = 100

_FAILED = re.compile(
    r"\b(?:failed (?:password|publickey|keyboard\S*|login|none)|authentication failures?|login failed)",
    re.I,
)
_ACCEPTED = re.compile(
    r"\b(?:accepted (?:password|publickey|keyboard\S*|hostbased)|login (?:succeeded|successful)|successful login)",
    re.I,
)
_ADDRESS = re.compile(r"(?:rhost=|\bfrom[ =]|\bip[ =:]|\baddress[ =:])\s*\[?([\w.:-]*\w)")


@dataclass(frozen=True, slots=True)
class BreakIn:
    """A login that was accepted from an address that had failed before."""

    address: str
    failures: int  # before it
    example: Example


@dataclass(slots=True)
class Logins:
    """Who failed to log in, and who then did."""

    failed: dict[str, int] = field(default_factory=dict)  # attempts by address
    break_ins: list[BreakIn] = field(default_factory=list)
    _waiting: list[tuple[int, str, str, int]] = field(default_factory=list)

    def note(self, kind: str | None, entry: int, line: str, times: int = 1) -> None:
        """Note an entry of a chunk, by its place there; `kind` as `kind_of` tells it."""
        if kind is not None and (found := _ADDRESS.search(line)):
            self._waiting.append((entry, kind, found[1], times))

    def settle(self, example: Callable[[int], Example]) -> None:
        """Take the chunk's logins into account, in their order."""
        for entry, kind, address, times in sorted(self._waiting):
            if kind == "failed":
                if address in self.failed or len(self.failed) < MAX_ADDRESSES:
                    self.failed[address] = self.failed.get(address, 0) + times
            elif self.failed.get(address, 0) >= FAILURES and len(self.break_ins) < MAX_BREAK_INS:
                self.break_ins.append(BreakIn(address, self.failed[address], example(entry)))
        self._waiting.clear()


def kind_of(message: str) -> str | None:
    """Whether a message says that a login failed or was accepted: "failed", "accepted" or None."""
    if _FAILED.search(message):
        return "failed"
    return "accepted" if _ACCEPTED.search(message) else None
