"""Folders and files: whether they are there, whose they are, and whether agentd may do there what it is to do."""

import getpass
import glob
import grp
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from agentd.doctor.configuration import library_of
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.errors import TaskError
from agentd.triggers.schedule_settings import FolderInput

_SHOWN = 3  # files of a glob that are named


def check_home(home: Home) -> Iterator[Diagnosis]:
    """Agentd's own folders: there, this user's, writable; the socket's for nobody else."""
    paths = home.paths
    folders = dict.fromkeys(
        (paths.config.parent, paths.tasks, paths.database.parent, paths.models, paths.log.parent)
    )
    run = paths.socket.parent
    wrong = [one for folder in (*folders, run) for one in _wrong(folder)]
    if run.is_dir() and run.stat().st_uid == os.getuid() and run.stat().st_mode & 0o077:
        mode = stat.S_IMODE(run.stat().st_mode)
        told = f"others may look into the socket's folder (mode {mode:04o}, not 0700)"
        wrong.append(error(str(run), told, f"chmod 700 {_quoted(run)}"))
    yield from wrong
    if not wrong:
        missing = [folder for folder in (*folders, run) if not folder.exists()]
        yield ok("own folders", "are made at the first start" if missing else "yours and writable")


def check_watched(home: Home) -> Iterator[Diagnosis]:
    """The watched folders: there and readable, and writable where results may change what lies in them."""
    library = library_of(home)
    for watch in home.usable.watch:
        about, folder = f"watch {watch.path}", watch.path
        if not folder.is_dir():
            if folder.exists():
                yield error(about, "is no folder", f"ls -ld {_quoted(folder)}")
            else:
                yield warning(about, "does not exist; it is waited for", f"mkdir -p {_quoted(folder)}")
            continue
        try:
            changes = [action.kind for action in library.get(watch.task).actions if action.of_file]
        except TaskError:
            changes = []
        if not os.access(folder, os.R_OK | os.X_OK):
            yield error(about, "cannot be listed", f"ls -ld {_quoted(folder)}")
        elif changes and not os.access(folder, os.W_OK):
            told = f"is read-only for you, and {watch.task} would change files there ({', '.join(changes)})"
            yield error(about, told, f"ls -ld {_quoted(folder)}")
        elif watch.apply == "auto" and changes:
            yield ok(about, f"→ {watch.task}, which changes files there at once ({', '.join(changes)})")
        else:
            yield ok(about, f"→ {watch.task}")


def check_scheduled(home: Home) -> Iterator[Diagnosis]:
    """The folders that scheduled tasks read: there, and readable."""
    for schedule in home.usable.schedule:
        if isinstance(schedule.input, FolderInput):
            about, folder = f"schedule {schedule.title}", schedule.input.folder
            if not folder.is_dir():
                yield error(about, f"its folder {folder} does not exist", f"mkdir -p {_quoted(folder)}")
            elif not os.access(folder, os.R_OK | os.X_OK):
                yield error(about, f"its folder {folder} cannot be listed", f"ls -ld {_quoted(folder)}")
            else:
                yield ok(about, f"reads {folder}")


def check_targets(home: Home) -> Iterator[Diagnosis]:
    """The folders into which files may be moved, copied or written."""
    for name, folder in home.usable.actions.targets.items():
        about, there = f"target {name}", _nearest(folder)
        if not there.is_dir():
            yield error(about, f"{there} is no folder", f"ls -ld {_quoted(there)}")
        elif not os.access(there, os.W_OK | os.X_OK):
            yield error(about, f"{there} is not writable for you", f"ls -ld {_quoted(there)}")
        else:
            yield ok(about, f"{folder}" if folder == there else f"{folder}, which is made when it is needed")


def check_logs(home: Home) -> Iterator[Diagnosis]:
    """The log files that are followed: whether there are any, and whether they can be read."""
    for log in home.usable.logs:
        if log.path is None:
            continue
        about = f"log {log.path}"
        files = [Path(file) for file in sorted(glob.glob(str(log.path)))]  # noqa: PTH207 - an absolute pattern
        closed = [file for file in files if file.is_file() and not os.access(file, os.R_OK)]
        if not files:
            yield warning(about, "no file of that name yet", f"ls -l {_quoted(log.path.parent)}")
        elif closed:
            more = f" and {len(closed) - _SHOWN} more" if len(closed) > _SHOWN else ""
            told = f"{', '.join(map(str, closed[:_SHOWN]))}{more} cannot be read"
            yield error(about, told, _way_in(closed[0]))
        else:
            yield ok(about, f"{len(files):,} {'file' if len(files) == 1 else 'files'}")


def _wrong(folder: Path) -> Iterator[Diagnosis]:
    about, there = str(folder), _nearest(folder)
    if not there.is_dir():
        yield error(about, f"{there} is no folder", f"ls -ld {_quoted(there)}")
    elif there == folder and folder.stat().st_uid != os.getuid():
        yield error(about, "belongs to another user", f"sudo chown -R {getpass.getuser()} {_quoted(folder)}")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield error(about, f"{there} is not writable for you", f"ls -ld {_quoted(there)}")


def _nearest(folder: Path) -> Path:
    """The folder itself, or the one in which it would be made."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _way_in(file: Path) -> str:
    """How a user gets to read a file that a group may."""
    found = file.stat()
    if found.st_mode & stat.S_IRGRP:
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        return f"sudo usermod -aG {shlex.quote(group)} {getpass.getuser()}, and log in again"
    return f"ls -l {_quoted(file)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
