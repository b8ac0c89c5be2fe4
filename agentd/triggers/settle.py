"""When a file is ready: pure bookkeeping, with time passed in.

A file that is still being written changes its size or time; one that has looked the same for `seconds` is due.
Nothing is read here, and no clock.
"""

from agentd.store.positions import Stamp


class Settler:
    """Files that were seen and are not due yet."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
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
        ready = [(source, stamp) for source, (stamp, since) in self._seen.items() if now - since >= self._seconds]
        for source, _ in ready:
            del self._seen[source]
        return ready

    def next_due(self) -> float | None:
        """When the first file may be due, on the clock of `observe`; None where there is none."""
        first = min((since for _, since in self._seen.values()), default=None)
        return None if first is None else first + self._seconds
