"""Make the virtual environment of a checkout and install the project into it: `setup_venv.py VENV EXTRAS`.

Runs on any Python that has `venv`; says what is missing and how to get it, and what will take long.
"""

import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

MINIMUM = (3, 11)
LLAMA = "llama-cpp-python==0.3.36"


def main() -> None:
    """Set up, or exit with a sentence that says what to do."""
    folder, extras = Path(sys.argv[1]), sys.argv[2]
    if sys.version_info < MINIMUM:
        sys.exit(
            f"agentd needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer, this is {sys.version.split()[0]}: "
            "make PYTHON=python3.12 …"
        )
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"Making {folder} …", flush=True)
        try:
            venv.create(folder, with_pip=True, symlinks=True)
        except (subprocess.CalledProcessError, ImportError):
            shutil.rmtree(folder, ignore_errors=True)
            sys.exit("this Python has no pip for new environments: apt install python3-venv, then try again")
    if not has_llama(python):
        compiler = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if compiler is None:
            sys.exit("a C++ compiler is needed to build llama.cpp: apt install g++, or xcode-select --install")
        print(
            "Now llama.cpp is compiled for this machine's processor. That takes about 8 minutes on 2 cores, the\n"
            "first time only: pip keeps the finished wheel.",
            flush=True,
        )
        pip(python, LLAMA)
    pip(python, "-e", f".[{extras}]")


def has_llama(python: Path) -> bool:
    """Whether that version of llama-cpp-python is installed already, told by its metadata."""
    name, _, version = LLAMA.partition("==")
    code = f"import importlib.metadata as m; raise SystemExit(m.version('{name}') != '{version}')"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def pip(python: Path, *what: str) -> None:
    """Install, quietly; on failure show what pip said."""
    began = time.monotonic()
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"pip could not install {' '.join(what)}: what it said stands above")
    print(f"Installed {what[-1]} in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
