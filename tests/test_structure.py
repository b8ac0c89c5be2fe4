"""The house keeps its plan: who imports whom, what a quick command loads, what the wheel holds."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.api.app import create_app
from agentd.api.server import Server, bound_socket
from agentd.api.status_shapes import StatusShape
from agentd.daemon.report import report_stopped
from agentd.daemon.settings import Config
from agentd.paths import Paths
from agentd.records import JobState
from agentd.store.database import Store

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agentd"
MAX_LINES = 400


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # The console script has the folder of the environment first, not the one that is checked.
    code = "from importlinter.cli import lint_imports_command as main; main()"
    return run(sys.executable, "-c", code, "--no-cache", cwd=folder)


def test_every_room_imports_only_what_lies_below_it() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_planted_wrong_import_breaks_its_contract(tmp_path: Path) -> None:
    planted = {
        "store/planted.py": ("import agentd.daemon.agent", "One direction"),
        "tasks/planted.py": ("import agentd.engine.client", "Tasks and readers know nothing"),
        "daemon/planted.py": ("import llama_cpp", "Only the engine touches llama_cpp"),
        "cli/planted.py": ("import sqlite3", "Only the store touches SQLite"),
        "triggers/planted.py": ("import apscheduler", "Only triggers.schedule touches apscheduler"),
    }
    shutil.copytree(PACKAGE, tmp_path / "agentd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, (line, _) in planted.items():
        (tmp_path / "agentd" / name).write_text(line + "\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    for _, contract in planted.values():
        assert any(line.startswith(contract) for line in broken), (contract, done.stdout)
    assert "agentd.store.planted -> agentd.daemon.agent" in done.stdout


ENGINE = ("llama_cpp", "llguidance")
# sqlite-utils takes numpy along where it is installed, so whoever opens the database has it.
HEAVY = (*ENGINE, "agentd.readers", "numpy", "sqlite_utils", "pydantic")
LOADED = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
import agentd.cli.main
if sys.argv[1:]:
    agentd.cli.main.main()
"""


def loaded_by(*words: str, cwd: Path, code: int = 0) -> set[str]:
    """The modules that a command has loaded when it ends."""
    done = run(sys.executable, "-c", LOADED, *words, cwd=cwd)
    assert done.returncode == code, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "agentd.cli.main" in loaded
    return loaded


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"]])
def test_a_quick_command_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    assert [name for name in loaded_by(*words, cwd=tmp_path) if name.startswith(HEAVY)] == []


async def test_status_of_a_daemon_loads_nothing_heavy(paths: Paths, tmp_path: Path) -> None:
    async def report() -> StatusShape:
        return report_stopped(Config(), dict.fromkeys(JobState, 0)) | {"pid": 1}  # type: ignore[return-value]

    with bound_socket(paths.socket) as sock:
        server = Server(create_app(None, report, None))  # type: ignore[arg-type]
        serving = asyncio.create_task(server.serve([sock]))
        loaded = await asyncio.to_thread(loaded_by, "status", cwd=tmp_path)
        server.should_exit = True
        await serving
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def test_status_without_a_daemon_loads_neither_readers_nor_engine(paths: Paths, tmp_path: Path) -> None:
    Store(paths.database).close()
    loaded = loaded_by("status", cwd=tmp_path, code=3)
    assert "agentd.store.queue" in loaded, "the counts come from the database"
    assert [name for name in loaded if name.startswith((*ENGINE, "agentd.readers"))] == []


def test_the_daemon_itself_never_loads_the_engines_libraries(tmp_path: Path) -> None:
    code = "import agentd.daemon.supervisor, json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(run(sys.executable, "-c", code, cwd=tmp_path).stdout)
    assert [name for name in loaded if name.startswith(ENGINE)] == []


def test_no_file_is_too_long_to_be_read_in_one_sitting() -> None:
    files = [file for folder in (PACKAGE, ROOT / "tests") for file in folder.rglob("*.py")]
    assert len(files) > 50
    lengths = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, alone in a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, so that what a build leaves behind does not land in the checkout.
    folders = ("agentd", "tasks", "samples")
    files = ("config.example.yaml", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
    source.mkdir()
    for path in (*(ROOT / name for name in (*folders, *files)), *ROOT.glob("*.json")):
        if path.is_dir():
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source)
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    pip = (
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--target",
        target,
    )
    done = run(sys.executable, "-m", *pip, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return target


def test_the_wheel_holds_the_tasks_the_samples_and_the_example_config(installed: Path) -> None:
    shipped = {file.name for file in (installed / "agentd" / "tasks" / "shipped").iterdir()}
    assert shipped >= {file.name for file in (ROOT / "tasks").iterdir()}
    samples = {file.name for file in (installed / "agentd" / "samples").iterdir()}
    assert samples == {file.name for file in (ROOT / "samples").iterdir()}
    example = installed / "agentd" / "config.example.yaml"
    assert example.read_bytes() == (ROOT / "config.example.yaml").read_bytes()
    assert not list(installed.glob("tests*"))


def test_a_shipped_task_runs_from_the_wheel_alone(installed: Path, home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("models: {main: {path: fake}}\nvocabularies: {tags: [garden]}\n")
    note = tmp_path / "pears.md"
    note.write_text("# Pears in the garden\n\nPrune the pear tree.\n")

    def agentd(*words: str) -> str:
        # PYTHONPATH goes before the checkout that an editable install adds, in child processes too.
        done = run(sys.executable, "-m", "agentd", *words, cwd=tmp_path, PYTHONPATH=str(installed))
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import agentd, agentd.tasks.library as library; print(agentd.__file__, library.shipped_tasks())"
    done = run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(installed))
    assert all(Path(path).is_relative_to(installed) for path in done.stdout.split())
    assert {"note-tagging", "summarise"} <= {
        task["name"] for task in json.loads(agentd("tasks", "list", "--json"))
    }
    (result,) = json.loads(agentd("run", "note-tagging", str(note), "--json"))
    assert (result["source"], result["output"]["tags"], result["fake"]) == (str(note), ["garden"], True)
