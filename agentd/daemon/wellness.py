"""When a problem of the daemon is worth telling, and when it is over: pure, with time passed in.

What passes by itself within a minute is not told; what comes and goes is one problem until it stayed away for a
while. What a problem is, `problems` knows.
"""

from collections.abc import Collection, Iterable

LASTING_SECONDS = 60.0
WELL_SECONDS = 600.0


class Wellness:
    """The problems of one daemon as they come and go; `now` is by a clock that only goes forward, in seconds."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = set(known)  # told, and not over
        self._since: dict[str, float] = {}  # there now, by when it came
        self._gone: dict[str, float] = {}  # known and not there now, by when it went

    def look(self, keys: Iterable[str], now: float) -> tuple[set[str], set[str]]:
        """The problems that are to be told now, and those that are over: the same ones until that was done."""
        there = set(keys)
        self._since = {key: self._since.get(key, now) for key in there}
        self._gone = {key: self._gone.get(key, now) for key in self._known - there}
        lasting = {key for key, since in self._since.items() if now - since >= LASTING_SECONDS}
        over = {key for key, since in self._gone.items() if now - since >= WELL_SECONDS}
        return lasting - self._known, over

    def begin(self, keys: Collection[str]) -> None:
        """These are told now."""
        self._known |= set(keys)

    def end(self, keys: Collection[str]) -> None:
        """These are over, and told when they come again."""
        self._known -= set(keys)
