"""Which llama.cpp is installed, as far as a file that it wrote depends on it."""

import functools
import hashlib
from pathlib import Path

from agentd.engine.llama import log as log  # first: it sets what llama_cpp reads when it is imported

import llama_cpp  # isort: skip


@functools.cache
def build_identity() -> str:
    """The binding's version and the checksum of the library that it loaded, like `0.3.36-5f0c…` (16 digits).

    The version stands for the llama.cpp that its wheel carries, the checksum for one that was put in its place
    or compiled otherwise. A reinstalled wheel of the same content stays the same build.
    """
    library = Path(llama_cpp.llama_cpp._lib._name)
    with library.open("rb") as file:
        return f"{llama_cpp.__version__}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
