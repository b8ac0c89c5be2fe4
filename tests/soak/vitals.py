"""What processes take, sampled over hours: anonymous memory, file descriptors, threads; and how they change."""

import time
from dataclasses import dataclass, field

import psutil

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment."""

    seconds: float  # since the first sample
    anonymous: int  # bytes of memory that belong to no file: RssAnon of /proc/PID/status
    descriptors: int
    threads: int


@dataclass(slots=True)
class Vitals:
    """The samples of one process."""

    samples: list[Sample] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def sample(self, pid: int) -> None:
        """Look at a process now; one that has gone is no sample."""
        try:
            with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - a pseudo-file
                kib = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
            process = psutil.Process(pid)
            now = time.monotonic() - self.began
            self.samples.append(Sample(now, kib * 1024, process.num_fds(), process.num_threads()))
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess, StopIteration):
            return

    def slope(self, share: float = 0.5) -> float:
        """Bytes of memory an hour that the last `share` of the samples gain, by least squares."""
        last = self.samples[int(len(self.samples) * (1 - share)) :]
        return 3600 * _slope([one.seconds for one in last], [float(one.anonymous) for one in last])

    def growth(self, name: str) -> float:
        """How much more of something the last quarter has than the second one, on average."""
        values = [float(getattr(one, name)) for one in self.samples]
        quarter = max(len(values) // 4, 1)
        return _mean(values[-quarter:]) - _mean(values[quarter : 2 * quarter] or values)

    def report(self) -> dict[str, object]:
        """What there is to say: the memory over time, its trend, and what was gained of the rest."""
        some = self.samples[:: max(len(self.samples) // 12, 1)]
        return {
            "samples": len(self.samples),
            "minutes": round((self.samples[-1].seconds - self.samples[0].seconds) / 60, 1),
            "anonymous MiB": [round(one.anonymous / MIB, 1) for one in some],
            "MiB an hour": round(self.slope() / MIB, 2),
            "descriptors": self.samples[-1].descriptors,
            "descriptors gained": round(self.growth("descriptors"), 1),
            "threads": self.samples[-1].threads,
            "threads gained": round(self.growth("threads"), 1),
        }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _slope(x: list[float], y: list[float]) -> float:
    if len(x) < 2:
        return 0.0
    middle, level = _mean(x), _mean(y)
    spread = sum((one - middle) ** 2 for one in x)
    return sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0
