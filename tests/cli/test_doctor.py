"""`agentd doctor`, as a person and a program read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.api.status_shapes import DoctorShape
from agentd.doctor.checks import Check
from agentd.doctor.diagnosis import Diagnosis, error, ok, warning
from agentd.doctor.home import Home
from agentd.paths import Paths
from agentd.store.database import Store
from tests.cli.conftest import Cli
from tests.shapes import check_shape


def check_fine(home: Home) -> Iterator[Diagnosis]:
    yield ok("disk", "50 GiB free")


def check_poor(home: Home) -> Iterator[Diagnosis]:
    yield warning("clock", "nothing keeps it right", "sudo timedatectl set-ntp true")


def check_bad(home: Home) -> Iterator[Diagnosis]:
    yield error("log \x1b[31m", "cannot be\nread", "ls -l x")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """What is looked at in place of this machine."""
    chosen = [Check("folders", check_fine), Check("machine", check_poor)]
    monkeypatch.setattr("agentd.doctor.checks.examine.__defaults__", (chosen,))
    return chosen


def test_what_is_well_and_what_is_not_is_told_in_groups_with_what_to_type(cli: Cli, checks: list[Check]) -> None:
    ran = cli("doctor")
    assert (ran.code, ran.out) == (
        0,
        "folders\n  ✓ disk  50 GiB free\n\n"
        "machine\n  ! clock  nothing keeps it right\n    next: sudo timedatectl set-ntp true\n\n1 warning\n",
    )
    assert cli("doctor", "--quiet").out.splitlines()[0] == "machine"


def test_an_error_makes_it_fail_and_nothing_in_it_reaches_the_terminal_as_an_order(
    cli: Cli, checks: list[Check]
) -> None:
    checks.append(Check("machine", check_bad))
    ran = cli("doctor")
    assert ran.code == 1
    assert "  ✗ log \\x1b[31m  cannot be↵read\n    next: ls -l x\n" in ran.out
    assert ran.out.endswith("\n1 error, 1 warning\n")


def test_everything_well_is_said_in_a_line(cli: Cli, checks: list[Check]) -> None:
    del checks[1]
    assert cli("doctor").out.endswith("\nEverything is as it should be.\n")


def test_json_has_every_diagnosis_and_how_many_are_bad(cli: Cli, checks: list[Check]) -> None:
    checks.append(Check("machine", check_bad))
    ran = cli("doctor", "--json")
    check_shape(ran.json, DoctorShape)
    assert (ran.code, ran.json["errors"], ran.json["warnings"]) == (1, 1, 1)
    assert [one["level"] for one in cli("doctor", "--json", "--quiet").json["diagnoses"]] == ["warning", "error"]
    assert ran.json["diagnoses"][0] == {
        **{"group": "folders", "check": "fine", "level": "ok", "about": "disk"},
        **{"told": "50 GiB free", "next": None},
    }


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(file.relative_to(folder)): (
            file.stat().st_mode,
            file.stat().st_mtime_ns,
            file.read_bytes() if file.is_file() else b"",
        )
        for file in [folder, *folder.rglob("*")]
    }


def test_nothing_is_changed_on_disk_and_nothing_made(cli: Cli, paths: Paths, home: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# A\n")
    paths.config.write_text(
        "models: {main: {path: starter, gpu_layers: 0}}\nvocabularies: {tags: [a]}\n"
        f"watch: [{{path: {notes}, task: note-tagging}}]\n"
    )
    Store(paths.database).close()
    before = everything(home), everything(notes)
    ran = cli("doctor", "--json")
    check_shape(ran.json, DoctorShape)
    assert not [one for one in ran.json["diagnoses"] if "could not be looked at" in one["told"]]
    assert (everything(home), everything(notes)) == before


def test_a_home_that_was_never_made_is_not_made(cli: Cli, home: Path) -> None:
    assert not home.exists()
    ran = cli("doctor", "--json")
    assert ran.json["diagnoses"]
    assert not home.exists()
