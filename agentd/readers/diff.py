"""Unified diffs: the text as it is; every changed line is found again in the file that it is about."""

import re
from typing import BinaryIO

from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.records import Place

_NEW_FILE = re.compile(r"\+\+\+ (?:b/)?([^\t\r\n]+)")
_OLD_FILE = re.compile(r"--- (?:a/)?([^\t\r\n]+)")
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def read(file: BinaryIO, name: str) -> Content:
    """A diff; its places are runs of lines of the new files. What is removed is cited where it was taken out."""
    text = decode(file.read(), name)
    places = [Place(1, "header")]
    path = ""
    number = 0  # of the next line of the new file
    old = new = 0  # lines of the hunk that are still to come, of either side
    running = False  # whether the last place goes on
    for index, line in enumerate(text.split("\n"), 1):
        if old > 0 or new > 0:
            removed, added = line.startswith("-"), line.startswith("+")
            old, new = old - (not added), new - (not removed)
            if removed:
                places.append(Place(index, f"{path}, removed before line {number}"))
            elif not running:
                places.append(Place(index, path, "line", number))
            running = not removed
            number += not removed
            continue
        running = False
        if match := _HUNK.match(line):
            places.append(Place(index, path))
            number = int(match[2])
            old, new = (int(count) if count is not None else 1 for count in (match[1], match[3]))
        elif match := _OLD_FILE.match(line):
            path = match[1]
            places.append(Place(index, "header"))
        elif (match := _NEW_FILE.match(line)) and match[1] != "/dev/null":
            path = match[1]
    return Content(text, tuple(places))
