"""Stands in for `journalctl`: does what a script says, one step of it each time it is started.

    python journalctl_standin.py FOLDER ARGUMENTS...

`FOLDER/script.json` is a list of steps; after the last one it is repeated. What a step may have:

    complains  text for the standard error, written first
    writes     text for the standard output
    copies     a pipe that is copied to the standard output until its other end is closed
    exits      the exit status; without one it stays until it is killed

Every start adds its process id and its arguments to `FOLDER/starts.jsonl`.
"""

import json
import os
import signal
import sys
from pathlib import Path


def main(folder: Path, arguments: list[str]) -> int:
    starts = folder / "starts.jsonl"
    with starts.open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "arguments": arguments}) + "\n")
    steps = json.loads((folder / "script.json").read_text())
    step = steps[min(len(starts.read_text().splitlines()), len(steps)) - 1]
    sys.stderr.write(step.get("complains", ""))
    sys.stderr.flush()
    sys.stdout.write(step.get("writes", ""))
    sys.stdout.flush()
    if "copies" in step:
        with Path(step["copies"]).open("rb", buffering=0) as pipe:
            while data := pipe.read(65536):
                os.write(sys.stdout.fileno(), data)
    if "exits" not in step:
        signal.pause()
    return int(step["exits"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
