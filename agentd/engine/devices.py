"""Which GPUs this machine has, told from the system's own files, so that a build that cannot use them is said.

Whether llama.cpp can use one, only the loaded build knows (`ModelInfo.gpu_in_build`).
"""

import platform
import sys
from pathlib import Path


def gpu_present() -> str | None:
    """The kind of GPU that is there, as the README names the builds: CUDA, ROCm or Metal; None for none."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return "CUDA"
    if Path("/dev/kfd").exists():
        return "ROCm"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Metal"
    return None
