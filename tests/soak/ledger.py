"""What the load did, written down outside of agentd: a line a fact, in a file that agentd never sees."""

import hashlib
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any


class Ledger:
    """The contents that were written, and the lines that were logged."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._file.write_text("")

    def note_content(self, path: Path, raw: bytes) -> str:
        """A content was written to a file; its sha256. Call it before the file is written."""
        content = hashlib.sha256(raw).hexdigest()
        self._note({"path": str(path), "content": content})
        return content

    def note_lines(self, count: int) -> None:
        """So many lines were appended to the log."""
        self._note({"lines": count})

    def _note(self, fact: dict[str, object]) -> None:
        with self._lock, self._file.open("a") as file:
            file.write(json.dumps(fact) + "\n")

    def contents(self) -> Counter[tuple[str, str]]:
        """How often each content was written to each path."""
        return Counter((fact["path"], fact["content"]) for fact in self._facts() if "path" in fact)

    def lines(self) -> int:
        """How many lines were appended to the log."""
        return sum(fact.get("lines", 0) for fact in self._facts())

    def _facts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]
