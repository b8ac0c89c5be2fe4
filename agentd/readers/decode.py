"""Bytes become text: UTF-8, or UTF-16 where a mark says so. What cannot be decoded is named, never guessed."""

import shlex

from agentd.errors import BadEncoding, NotText

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def decode(raw: bytes, source: str) -> str:
    """The text in `raw`; raises `NotText` or `BadEncoding`."""
    encoding = next((encoding for bom, encoding in _BOMS.items() if raw.startswith(bom)), "utf-8")
    hint = f"file {shlex.quote(source)}"
    if encoding != "utf-16" and b"\0" in raw:
        raise NotText(f"{source} is not text: it has NUL bytes", hint=hint)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as broken:
        if encoding == "utf-16":
            raise BadEncoding(f"{source} begins like UTF-16 and is not: {broken.reason}") from broken
        raise not_utf8(broken, source, f"iconv -f latin1 -t utf-8 {shlex.quote(source)}") from broken
    if "\0" in text:
        raise NotText(f"{source} is not text: it has NUL characters", hint=hint)
    return text


def not_utf8(broken: UnicodeDecodeError, source: str, hint: str) -> BadEncoding:
    """What is wrong with a text that cannot be decoded: which byte, in which line."""
    # `object` and not the whole input: its positions do not count a mark at the beginning.
    line = broken.object.count(b"\n", 0, broken.start) + 1
    byte = broken.object[broken.start]
    return BadEncoding(f"{source} is not valid UTF-8: byte 0x{byte:02x} in line {line}", hint=hint)
