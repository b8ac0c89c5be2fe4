"""Documents that are ZIP archives of XML: opened with bounds, so that a bomb is named and not unpacked."""

import contextlib
import posixpath
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from lxml import etree

from agentd.errors import Encrypted, Malformed, ReaderFailed, TooLarge

MAX_MEMBERS = 20_000
MAX_UNPACKED = 512 * 1024**2  # bytes of all parts together
MAX_PART = 128 * 1024**2


class Package:
    """An open archive. Its paths are those of the archive, never of a disk."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise TooLarge(f"{name} has {len(infos):,} parts, the limit is {MAX_MEMBERS:,}")
        unpacked = sum(info.file_size for info in infos)
        if unpacked > MAX_UNPACKED:
            raise TooLarge(f"{name} unpacks to {unpacked:,} bytes, the limit is {MAX_UNPACKED:,}")
        if any(info.flag_bits & 1 for info in infos):
            raise Encrypted(f"{name} is protected by a password", hint="save it without one")

    def names(self) -> list[str]:
        """The paths of all parts."""
        return self._archive.namelist()

    def read(self, path: str) -> bytes:
        """The bytes of a part; raises `Malformed` where it is missing, damaged or longer than it says."""
        try:
            with self._archive.open(path) as part:
                raw = part.read(MAX_PART + 1)
        except KeyError as missing:
            raise Malformed(f"{self._name} is incomplete: it has no part {path}") from missing
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as broken:
            raise Malformed(f"{self._name} is damaged at {path}: {broken}") from broken
        if len(raw) > MAX_PART:
            raise TooLarge(f"{self._name}: its part {path} is larger than {MAX_PART:,} bytes")
        return raw

    def parse(self, path: str) -> etree._Element:
        """A part as XML; raises `Malformed`, or `ReaderFailed` where memory ends. No entity is followed."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            return etree.fromstring(self.read(path), parser)
        except etree.XMLSyntaxError as broken:
            if broken.code == etree.ErrorTypes.ERR_NO_MEMORY:
                raise ReaderFailed(f"{self._name} needs too much memory at {path}") from broken
            raise Malformed(f"{self._name} is damaged at {path}: {broken}") from broken

    def related(self, path: str) -> dict[str, tuple[str, str]]:
        """What an Office part refers to: by id, the last word of the kind and the path."""
        folder, base = posixpath.split(path)
        relations = posixpath.join(folder, "_rels", f"{base}.rels")
        if relations not in self.names():
            return {}
        found = {}
        for one in self.parse(relations):
            if one.get("TargetMode") != "External" and one.get("Id") and one.get("Target"):
                target = posixpath.normpath(posixpath.join("/", folder, one.get("Target", "")))
                found[one.get("Id", "")] = (one.get("Type", "").rsplit("/", 1)[-1], target.lstrip("/"))
        return found


@contextlib.contextmanager
def open_package(file: BinaryIO, name: str) -> Iterator[Package]:
    """The archive in a file; raises `Malformed`, `Encrypted` or `TooLarge`."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as broken:
        raise Malformed(f"{name} is damaged: {broken}") from broken
    with archive:
        yield Package(archive, name)


def local(element: etree._Element) -> str:
    """The name of an element without its namespace; empty for a comment or an instruction."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
