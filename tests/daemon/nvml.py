"""NVIDIA's library as far as `machine.Gpus` uses it: devices that a test fills with processes."""

from types import SimpleNamespace

GIB = 1024**3


class FakeNvml:
    """Looks like the module `pynvml`."""

    class NVMLError(Exception):
        """Whatever NVML refuses."""

    def __init__(self, *, driver: bool = True, free: list[int] | None = None) -> None:
        self.driver = driver
        self.free = free or [GIB]
        # By device, processes and the bytes that they use of it; None where the driver does not say.
        self.computing: list[dict[int, int | None]] = [{} for _ in self.free]
        self.drawing: list[dict[int, int | None]] = [{} for _ in self.free]
        self.opened = 0

    def nvmlInit(self) -> None:
        self._check()
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._check()

    def nvmlDeviceGetCount(self) -> int:
        self._check()
        return len(self.free)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(free=self.free[device])

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        return _processes(self.computing[device])

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        return _processes(self.drawing[device])

    def _check(self) -> None:
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")


def _processes(found: dict[int, int | None]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in found.items()]
