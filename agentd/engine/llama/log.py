"""What llama.cpp logs: the only place where it says why a load failed and what loading really took."""

import ctypes
import os
import re
from collections import deque
from typing import ClassVar

# Without this an abort inside ggml spawns a debugger, which hangs where nobody watches.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")
# OpenMP's threads spin while they wait for each other, for seconds by default; with another process on one of the
# cores the spinning takes what the awaited one needs. A spin as short as this costs nothing on a quiet machine;
# beside a busy process decoding was 20 times as fast (with libgomp on 2 cores: 45 tokens a second instead of 2).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp

_DEBUG = 1  # ggml_log_level
# ggml-alloc, ggml-cuda, ggml-metal, ggml-vulkan, mmap and C++ each have their own words for it.
_NO_MEMORY = re.compile(
    r"out of memory|insufficient memory|cannot allocate memory|(failed|unable) to allocate"
    r"|alloc.*failed|bad_alloc",
    re.IGNORECASE,
)
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
# "load_tensors:   CPU_Mapped model buffer size =    92.29 MiB", and the same for KV, RS, compute and output.
_BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB")


class LogTail:
    """The last lines that llama.cpp logged."""

    # The one that llama.cpp calls now, whoever still reads it: it speaks long after loading, above all when
    # something fails, and ctypes keeps no reference of its own. A callback that was collected is a crash.
    _installed: ClassVar["LogTail | None"] = None

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=400)
        self._callback = llama_cpp.llama_log_callback(self._write)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        LogTail._installed = self

    def _write(self, level: int, text: bytes | None, _user_data: object) -> None:
        if level == _DEBUG:
            return  # hundreds of lines a graph
        for line in (text or b"").decode("utf-8", "replace").splitlines():
            if line.strip(" ."):
                self.lines.append(line.strip())

    def clear(self) -> None:
        """Forget what was said, before something that may fail."""
        self.lines.clear()

    def error(self) -> str:
        """The first line that speaks of an error, which later ones only follow from; or else nothing."""
        words = ("error", "failed", "unable", "invalid", "not supported", "requires", "does not divide")
        found = [line for line in self.lines if any(word in line.lower() for word in words)]
        return found[0] if found else ""

    def out_of_memory(self) -> bool:
        """Whether something was said of memory that could not be had."""
        return any(_NO_MEMORY.search(line) for line in self.lines)

    def offloaded(self) -> int:
        """Layers that were put on a GPU, as llama.cpp reported them."""
        found = [match for line in self.lines if (match := _OFFLOADED.search(line))]
        return int(found[-1][1]) if found else 0

    def buffers(self) -> dict[tuple[str, str], int]:
        """Bytes that were allocated, by (buffer's name, what for); `what for` is llama.cpp's own word.

        A model may have several caches, which count together; compute buffers are told again whenever they grow.
        """
        found = dict[tuple[str, str], int]()
        for match in filter(None, map(_BUFFER.search, self.lines)):
            key, size = (match[1], match[2]), round(float(match[3]) * 1024**2)
            found[key] = size if match[2] == "compute" else found.get(key, 0) + size
        return found
