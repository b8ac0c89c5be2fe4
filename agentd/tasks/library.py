"""Find task files: the user's own first, then the shipped ones. Reread when a file changes."""

import difflib
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentd.errors import BrokenTask, TaskError, UnknownTask
from agentd.tasks.definition import ReadActions, Task, read_no_actions, read_task

MAX_TASK_BYTES = 256 * 1024


def shipped_tasks() -> Path:
    """The folder of the shipped task files: in the package, or beside it in a checkout."""
    installed = Path(__file__).parent / "shipped"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "tasks"


def _task_files(folder: Path) -> Iterator[Path]:
    # Editors put hidden files beside the one they have open.
    return (file for file in folder.glob("*.md") if not file.name.startswith("."))


class Library:
    """The tasks of one home with one config."""

    def __init__(
        self, own: Path, vocabularies: Mapping[str, Mapping[str, str]], read_actions: ReadActions = read_no_actions
    ) -> None:
        self._folders = (own, shipped_tasks())
        self._vocabularies = vocabularies
        self._read_actions = read_actions
        self._read: dict[Path, tuple[tuple[int, int, int], Task]] = {}

    def use(self, vocabularies: Mapping[str, Mapping[str, str]]) -> None:
        """Read every task anew, with other vocabularies."""
        self._vocabularies = vocabularies
        self._read.clear()

    def names(self) -> list[str]:
        """Every task there is, by name."""
        return sorted({file.stem for folder in self._folders for file in _task_files(folder)})

    def get(self, name: str) -> Task:
        """The task as its file is now; raises `UnknownTask` or `BrokenTask`."""
        file = self.find(name)
        try:
            found = file.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
            if file not in self._read or self._read[file][0] != stamp:
                if not stat.S_ISREG(found.st_mode):
                    raise BrokenTask(f"{file}:1: is not a file")
                if found.st_size > MAX_TASK_BYTES:
                    raise BrokenTask(f"{file}:1: larger than {MAX_TASK_BYTES // 1024} KiB")
                self._read[file] = (
                    stamp,
                    read_task(file.read_text("utf-8"), file, self._vocabularies, self._read_actions),
                )
        except OSError as broken:
            raise BrokenTask(f"{file}: cannot be read: {broken.strerror}", hint=f"ls -l '{file}'") from broken
        except UnicodeDecodeError as broken:
            raise BrokenTask(f"{file}: is not valid UTF-8: {broken.reason}") from broken
        return self._read[file][1]

    def check(self) -> dict[str, Task | TaskError]:
        """Every task, or what is wrong with it."""
        found: dict[str, Task | TaskError] = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except TaskError as broken:
                found[name] = broken
        return found

    def find(self, name: str) -> Path:
        """The file of a task; raises `UnknownTask`."""
        for folder in self._folders:
            # Compared as a name, never joined to a path: `../x` is no task.
            for file in _task_files(folder):
                if file.stem == name:
                    return file
        near = difflib.get_close_matches(name, self.names(), n=1)
        guess = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(self.names())}"
        raise UnknownTask(f"there is no task `{name}`: {guess}")
