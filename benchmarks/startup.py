"""How long commands take to start, beside a bare interpreter in the same run.

Bounds: `agentd --help` at most 3 × `python -c pass` + 100 ms, `agentd status` at most 3 × that + 200 ms. The
daemon runs with the fake model, in a home of its own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

RUNS = 15
BARE = ["-c", "pass"]
# What is timed, and what it may take on top of three bare interpreters, in seconds.
COMMANDS = {"agentd --help": (["-m", "agentd", "--help"], 0.1), "agentd status": (["-m", "agentd", "status"], 0.2)}


def main() -> int:
    """Print the table; 1 where a bound is broken."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "config.yaml").write_text("models: {main: {path: fake}}\n")
        env = os.environ | {"AGENTD_HOME": str(home)}
        agentd = [sys.executable, "-m", "agentd"]
        subprocess.run([*agentd, "start", "--detach"], env=env, check=True, stderr=subprocess.DEVNULL)
        try:
            return report(env)
        finally:
            subprocess.run([*agentd, "stop"], env=env, check=True, stderr=subprocess.DEVNULL)


def report(env: dict[str, str]) -> int:
    """Measure in turns, so that a slow moment hits all alike."""
    commands = {"python -c pass": BARE} | {name: words for name, (words, _) in COMMANDS.items()}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, words in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], env=env, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare = medians["python -c pass"]
    table = Table("command", "median", "least", "ratio", "bound", title=f"Start-up, {RUNS} runs each")
    broken = 0
    for name, median in medians.items():
        bound = 3 * bare + COMMANDS[name][1] if name in COMMANDS else None
        broken += bound is not None and median > bound
        shown = f"{bound * 1000:.0f} ms" if bound is not None else ""
        table.add_row(
            name, f"{median * 1000:.0f} ms", f"{min(times[name]) * 1000:.0f} ms", f"{median / bare:.1f}", shown
        )
    Console().print(table)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
