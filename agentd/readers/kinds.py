"""What a file is, told by its first bytes; only between kinds of text does its name decide.

A picture called `.md` is a picture. Nothing is parsed here but the list of names in an archive.
"""

import csv
import io
import json
import re
import zipfile
from pathlib import PurePath
from typing import BinaryIO, Literal

from agentd.errors import Encrypted, Malformed, NotText
from agentd.readers.decode import decode

Kind = Literal[
    "markdown",
    "text",
    "html",
    "pdf",
    "docx",
    "xlsx",
    "pptx",
    "odt",
    "epub",
    "email",
    "csv",
    "json",
    "code",
    "diff",
]
HEAD_BYTES = 4096

_SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a RIFF sound, film or picture",
    b"\x00\x00\x01\x00": "an icon",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"GGUF": "a GGUF model",
    b"ID3": "an MP3 recording",
    b"OggS": "an Ogg recording",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # no text has these; one may begin with the word GGUF
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MIMETYPES: dict[bytes, Kind] = {
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/epub+zip": "epub",
}
_MAIN_PARTS: dict[str, Kind] = {
    "word/document.xml": "docx",
    "xl/workbook.xml": "xlsx",
    "ppt/presentation.xml": "pptx",
}

_BY_SUFFIX: dict[str, Kind] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".geojson": "json",
    ".eml": "email",
    ".diff": "diff",
    ".patch": "diff",
}
# Languages whose files have symbols; see `code`.
LANGUAGES = {
    ".py": "python",
    ".pyi": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "tsx",
    ".go": "go",
    ".rs": "rust",
    ".java": "java",
    ".c": "cpp",
    ".h": "cpp",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hh": "cpp",
    ".hpp": "cpp",
    ".rb": "ruby",
    ".sh": "bash",
    ".bash": "bash",
}
# Languages without symbols here, which are code all the same.
_OTHER_LANGUAGES = re.compile(
    r"\.(php|pl|pm|lua|swift|kts?|scala|cs|r|jl|hs|ml|exs?|erl|clj|dart|zig|nim|sql|ps1|vue|svelte|groovy|gradle|tf"
    r"|proto|s?css|zsh|fish|awk)"
)
# By the program that a first line such as `#!/usr/bin/env python3` names.
_INTERPRETERS = {
    "python": "python",
    "pypy": "python",
    "node": "javascript",
    "deno": "typescript",
    "ruby": "ruby",
    **dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "zsh"), "bash"),
}
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S*\s+)*(?:\S*/)?)?([A-Za-z_]+)")
_ROWS = 3  # of a table that has no name, at least
_LONGEST_TITLE = 40  # characters of a column
_HTML = re.compile(r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL)
_DIFF = re.compile(r"(?:^|\n)(?:diff --git .+\n|--- \S.*\r?\n\+\+\+ \S.*\r?\n@@ )")
_MAIL_HEADER = re.compile(
    r"^(from|to|subject|date|message-id|received|return-path|mime-version):", re.IGNORECASE | re.MULTILINE
)


def sniff(file: BinaryIO, name: str) -> Kind:
    """The kind of an open file, whose position is put back to its start.

    Raises `NotText` for what has no reader, `Encrypted` or `Malformed` for a container that cannot be opened.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    suffix = PurePath(name).suffix.lower()
    if head.startswith(b"PK\x03\x04"):
        return _in_archive(file, name)
    # A PDF may have some bytes before its header; readers look for it in the first 1,024.
    if b"%PDF-" in head[:1024] and (head.startswith(b"%PDF-") or suffix == ".pdf"):
        return "pdf"
    if head.startswith(_OLD_OFFICE):
        if suffix in (".docx", ".xlsx", ".pptx"):
            raise Encrypted(f"{name} is protected by a password", hint="save it without one")
        raise NotText(
            f"{name} is a file of an old Office (before 2007)",
            hint="soffice --headless --convert-to docx FILE, or save it as DOCX, XLSX or PPTX",
        )
    for signature, kind in _SIGNATURES.items():
        is_word = signature.replace(b" ", b"").isalnum()
        if head.startswith(signature) and (not is_word or _CONTROL.search(head)):
            raise NotText(f"{name} is not text: it looks like {kind}")
    return _of_text(head.decode("utf-8", "replace").lstrip("\ufeff"), suffix)


def sniff_unnamed(raw: bytes, name: str) -> Kind:
    """The kind of what came without a file, by all of it; a plain text counts as Markdown. Raises as `sniff`."""
    kind = sniff(io.BytesIO(raw), name)
    if kind != "text":
        return kind
    text = decode(raw, name)
    if _is_json(text):
        return "json"
    return "csv" if _is_table(text) else "markdown"


def language_of(name: str, text: str) -> str | None:
    """The language of code by the suffix of its name, or by its first line; None for those without symbols."""
    suffix = PurePath(name).suffix.lower()
    if suffix in LANGUAGES:
        return LANGUAGES[suffix]
    match = _SHEBANG.match(text)
    return _INTERPRETERS.get(match[1]) if match else None


def _of_text(head: str, suffix: str) -> Kind:
    """The kind of a text by how it begins and by the suffix of its name."""
    if suffix in LANGUAGES or _OTHER_LANGUAGES.fullmatch(suffix):
        return "code"
    if _HTML.match(head):
        return "html"
    kind: Kind = _BY_SUFFIX.get(suffix, "text")
    match kind:
        case "text" if _SHEBANG.match(head):
            return "code"
        case "text" if _count_mail_headers(head) >= 3:
            return "email"
        case "text" if _DIFF.search(head):
            return "diff"
        case "email" if _count_mail_headers(head) < 2:
            return "text"
        case "diff" if not _DIFF.search(head):
            return "text"
        case "json" if head.lstrip()[:1] not in ("{", "["):
            return "text"
    return kind


def _is_json(text: str) -> bool:
    """Whether this is an object or a list of JSON, or begins with a line that is one."""
    if text.lstrip("\ufeff \t\r\n")[:1] not in ("{", "["):
        return False
    for said in (text, text.strip().partition("\n")[0]):
        try:
            return isinstance(json.loads(said), dict | list)
        except (ValueError, RecursionError):
            continue
    return False


def _is_table(text: str) -> bool:
    """Whether all lines have as many fields, and the first one titles for them."""
    lines = text.strip().splitlines()
    for separator in "\t;,":
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
            titles = next(csv.reader(lines[:1], delimiter=separator), [])
        except csv.Error:
            continue
        # In prose and lists, a space follows a comma, and a mark or a stop stands at an end.
        short = all(len(title) <= _LONGEST_TITLE and re.match(r'["\w]', title) for title in titles)
        if len(lines) >= _ROWS and len(widths) == 1 and len(titles) > 1 and short:
            return len(set(titles)) == len(titles) and not lines[0].rstrip().endswith((".", "!", "?"))
    return False


def _count_mail_headers(head: str) -> int:
    """How many different headers of an e-mail a text begins with."""
    if not _MAIL_HEADER.match(head):
        return 0
    block = head.replace("\r\n", "\n").split("\n\n", 1)[0]
    return len({match[1].lower() for match in _MAIL_HEADER.finditer(block)})


def _in_archive(file: BinaryIO, name: str) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names, mimetype = set(archive.namelist()), b""
            if any(info.flag_bits & 1 for info in archive.infolist()):
                raise Encrypted(f"{name} is protected by a password", hint="save it without one")
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 100:
                mimetype = archive.read("mimetype").strip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as broken:
        raise Malformed(f"{name} begins like a ZIP archive and is broken: {broken}") from broken
    finally:
        file.seek(0)
    for begin, kind in _MIMETYPES.items():
        if mimetype.startswith(begin):
            return kind
    if mimetype.startswith(b"application/vnd.oasis.opendocument"):
        raise NotText(f"{name} is an OpenDocument file, but no text", hint="save it as ODT, XLSX, PPTX or PDF")
    for part, kind in _MAIN_PARTS.items():
        if part in names:
            return kind
    raise NotText(f"{name} is not text: it looks like a ZIP archive", hint="unpack it beside it")
