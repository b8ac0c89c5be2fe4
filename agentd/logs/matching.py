"""Which files a list of patterns means right now. What was known before and what is in them is not known here."""

import glob
import os
import stat
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

from agentd.errors import AgentdError
from agentd.logs.content import Identity, cannot_read, identity_of


def matching_files(patterns: Sequence[str], report: Callable[[Path, AgentdError], None]) -> dict[Identity, Path]:
    """The regular files that match, each once and the one that was written first first.

    Pipes, folders, sockets and devices are left out, and what cannot be looked at is reported.
    """
    found: dict[Identity, tuple[Path, os.stat_result]] = {}
    for pattern in patterns:
        # Where two were written at the same time, `app.log.1` is older than `app.log`.
        for path in sorted(_paths(pattern, report), reverse=True):
            try:
                status = path.stat()
            except OSError as broken:
                report(path, cannot_read(path, broken))
            else:
                if stat.S_ISREG(status.st_mode):
                    found.setdefault(identity_of(status), (path, status))
    oldest_first = sorted(found.items(), key=lambda item: item[1][1].st_mtime_ns)
    return {identity: path for identity, (path, _) in oldest_first}


def _paths(pattern: str, report: Callable[[Path, AgentdError], None]) -> list[Path]:
    if not glob.has_magic(pattern):
        return [Path(pattern)]
    folder = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    try:
        os.scandir(folder).close()  # a glob says nothing of a folder that it may not list
    except OSError as broken:
        report(folder, cannot_read(folder, broken))
    return list(folder.glob(str(Path(pattern).relative_to(folder))))
