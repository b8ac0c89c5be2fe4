"""How folders and files look, for tests that compare it."""

import errno
import hashlib
import os
from pathlib import Path


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def state(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def give_colour(path: Path) -> bool:
    """Give a file an extended attribute, where this system has any."""
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(path, "user.colour", b"red")
    except OSError as broken:
        if broken.errno != errno.ENOTSUP:
            raise
        return False
    return True
