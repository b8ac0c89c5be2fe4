"""Which GPUs this machine has, told from the system's own files, so that a build that cannot use them is said.

Whether llama.cpp can use one, only the loaded build knows (`ModelInfo.gpu_in_build`).
"""

import platform
import sys
from pathlib import Path

_VULKAN_VENDORS = ("0x1002", "0x8086")  # AMD and Intel, by their PCI numbers


def gpu_present() -> str | None:
    """The kind of GPU that is there, as the README names the builds: CUDA, ROCm, Vulkan or Metal; or None."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return "CUDA"
    if Path("/dev/kfd").exists():
        return "ROCm"
    vendors = [_read(file) for file in Path("/sys/class/drm").glob("renderD*/device/vendor")]
    if any(vendor in _VULKAN_VENDORS for vendor in vendors):
        return "Vulkan"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Metal"
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
