"""Programs of systemd's names that note how they are called and answer as they are told."""

import json
import sys
from pathlib import Path

STAND_IN = """\
#!{python}
import json, os, pathlib, sys
here = pathlib.Path({folder!r})
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
for words, said, code in json.loads((here / "answers").read_text()):
    if words in " ".join(sys.argv[1:]):
        print(said, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
"""
ACTIVE = """\
LoadState=loaded
ActiveState=active
SubState=running
ActiveEnterTimestamp=Tue 2026-05-05 07:00:00 UTC
MainPID={pid}
UnitFileState=enabled
StatusText=ready; nothing to do = idle
NRestarts=2
"""
INACTIVE = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\n"


class StandIn:
    """Programs of systemd's names that note how they were called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        script = STAND_IN.format(python=sys.executable, folder=str(folder))
        for name in ("systemctl", "systemd-run", "loginctl", "journalctl", "launchctl"):
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        self.answer()

    def answer(self, *answers: tuple[str, str, int]) -> None:
        """What is said, and the exit code, by what stands in the arguments; the first that fits."""
        version = ("--version", "systemd 252 (252.38-1~deb12u1)", 0)
        (self._folder / "answers").write_text(json.dumps([*answers, version]))

    @property
    def calls(self) -> list[list[str]]:
        file = self._folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def verbs(self) -> list[str]:
        """What systemctl was told to do, without what it was only asked."""
        said = [" ".join(words[3:]) for words in self.calls if words[0] == "systemctl"]
        return [verb for verb in said if verb and not verb.startswith("show")]
