"""When a file is ready: pure bookkeeping, with time passed in.

A file that is still being written changes its size or time; one that has looked the same for `seconds` is due.
Nothing is read here, and no clock.
"""

from agentd.store.positions import Stamp

LONGEST_GATHERING = 60.0  # seconds for which still files wait for others that are still written


class Settler:
    """Files that were seen and are not due yet.

    With `together`, they are due once all of them are still, as one burst.
    """

    def __init__(self, seconds: float, *, together: bool = False) -> None:
        self._seconds = seconds
        self._together = together
        self._seen: dict[str, tuple[Stamp, float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def observe(self, source: str, stamp: Stamp, now: float) -> None:
        """Note how a file looks; its wait starts anew only when it looks different from before."""
        before = self._seen.get(source)
        if before is None or before[0] != stamp:
            self._seen[source] = (stamp, now)

    def forget(self, source: str) -> None:
        """Drop a file that is gone."""
        self._seen.pop(source, None)

    def due(self, now: float) -> list[tuple[str, Stamp]]:
        """Files that have been still for long enough, as they looked all that time; each is handed out once."""
        due = self.next_due()
        if due is None or now < due:
            return []
        ready = [(source, stamp) for source, (stamp, since) in self._seen.items() if since + self._seconds <= now]
        for source, _ in ready:
            del self._seen[source]
        return ready

    def next_due(self) -> float | None:
        """When the first file, or the burst, may be due, on the clock of `observe`; None where there is none."""
        if not self._seen:
            return None
        first = min(since for _, since in self._seen.values())
        if self._together:
            last = max(since for _, since in self._seen.values())
            return min(last, first + LONGEST_GATHERING) + self._seconds
        return first + self._seconds
