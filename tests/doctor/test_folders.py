import os
from pathlib import Path

import pytest

from agentd.daemon.disks import Disk
from agentd.doctor.folders import check_home, check_logs, check_scheduled, check_targets, check_watched
from agentd.doctor.room import check_disks
from tests.doctor.conftest import FAKE, FindHome, levels, told

as_user = pytest.mark.skipif(os.getuid() == 0, reason="root may read and write everywhere")


def test_own_folders_that_are_right_are_one_line(find: FindHome) -> None:
    assert told(check_home(find())) == {"own folders": ("ok", "yours and writable", "")}


def test_a_socket_folder_that_others_may_enter_is_an_error(find: FindHome) -> None:
    home = find()
    run = home.paths.socket.parent
    run.chmod(0o755)
    assert told(check_home(home)) == {
        str(run): (
            "error",
            "others may look into the socket's folder (mode 0755, not 0700)",
            f"chmod 700 {run}",
        )
    }


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_an_error(find: FindHome) -> None:
    home = find()
    os.chown(home.paths.models, 65534, 65534)
    level, words, hint = told(check_home(home))[str(home.paths.models)]
    assert (level, words) == ("error", "belongs to another user")
    assert hint.startswith("sudo chown -R ")


@as_user
def test_a_folder_of_ones_own_that_is_read_only_is_an_error(find: FindHome) -> None:
    home = find()
    home.paths.tasks.chmod(0o500)
    assert told(check_home(home))[str(home.paths.tasks)][0] == "error"
    home.paths.tasks.chmod(0o700)


def test_a_file_in_place_of_a_folder_is_an_error(find: FindHome) -> None:
    home = find()
    home.paths.models.rmdir()
    home.paths.models.write_text("")
    assert told(check_home(home))[str(home.paths.models)][:2] == ("error", f"{home.paths.models} is no folder")


def test_watched_folders_are_told_with_what_becomes_of_their_files(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    home = find(
        f"{FAKE}vocabularies: {{tags: [a, b]}}\nwatch:\n"
        f"  - {{path: {tmp_path}/notes, task: note-tagging, apply: auto}}\n"
        f"  - {{path: {tmp_path}/notes, task: summarise}}\n"
        f"  - {{path: {tmp_path}/gone, task: summarise}}\n"
        f"  - {{path: {tmp_path}/file, task: summarise}}\n"
    )
    assert [(one.level.value, one.told, one.hint) for one in check_watched(home)] == [
        ("ok", "→ note-tagging, which changes files there at once (frontmatter)", ""),
        ("ok", "→ summarise", ""),
        ("warning", "does not exist; it is waited for", f"mkdir -p {tmp_path}/gone"),
        ("error", "is no folder", f"ls -ld {tmp_path}/file"),
    ]


@as_user
def test_a_folder_that_cannot_be_read_or_changed_is_an_error(find: FindHome, tmp_path: Path) -> None:
    for name, mode in (("closed", 0o300), ("fixed", 0o500)):
        (tmp_path / name).mkdir(mode=mode)
    home = find(
        f"{FAKE}vocabularies: {{tags: [a, b]}}\nwatch:\n"
        f"  - {{path: {tmp_path}/closed, task: summarise}}\n"
        f"  - {{path: {tmp_path}/fixed, task: note-tagging}}\n"
        f"  - {{path: {tmp_path}/fixed, task: action-items}}\n"
    )
    found = list(check_watched(home))
    assert [one.level.value for one in found][:2] == ["error", "error"]
    assert found[0].told == "cannot be listed"
    assert "is read-only for you, and note-tagging would change files there" in found[1].told
    for name in ("closed", "fixed"):
        (tmp_path / name).chmod(0o700)


def test_a_target_may_be_made_later_but_not_where_a_file_stands(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    targets = f"{{here: {tmp_path}, later: {tmp_path}/a/b, wrong: {tmp_path}/file}}"
    home = find(f"{FAKE}actions: {{targets: {targets}}}\n")
    found = told(check_targets(home))
    assert found["target here"] == ("ok", str(tmp_path), "")
    assert found["target later"] == ("ok", f"{tmp_path}/a/b, which is made when it is needed", "")
    assert found["target wrong"][0] == "error"


def test_a_folder_that_a_schedule_reads_has_to_be_there(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    home = find(
        f"{FAKE}schedule:\n  - {{task: summarise, every: 1d, input: {{folder: {tmp_path}/inbox}}}}\n"
        f"  - {{task: summarise, name: later, every: 1d, input: {{folder: {tmp_path}/later}}}}\n"
        "  - {task: daily-digest, every: 1d}\n"
    )
    assert told(check_scheduled(home)) == {
        "schedule summarise": ("ok", f"reads {tmp_path}/inbox", ""),
        "schedule later": ("error", f"its folder {tmp_path}/later does not exist", f"mkdir -p {tmp_path}/later"),
    }


def test_logs_are_counted_and_a_glob_without_files_is_a_warning(find: FindHome, tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("x\n")
    home = find(f"{FAKE}logs: [{{path: '{tmp_path}/*.log'}}, {{path: '{tmp_path}/none'}}, {{journald: {{}}}}]\n")
    assert told(check_logs(home)) == {
        f"log {tmp_path}/*.log": ("ok", "2 files", ""),
        f"log {tmp_path}/none": ("warning", "no file of that name yet", f"ls -l {tmp_path}"),
    }


@as_user
def test_a_log_that_cannot_be_read_is_an_error_with_the_way_to_its_group(find: FindHome, tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("x\n")
    file.chmod(0o040)
    home = find(f"{FAKE}logs: [{{path: '{file}'}}]\n")
    level, words, hint = told(check_logs(home))[f"log {file}"]
    assert (level, words) == ("error", f"{file} cannot be read")
    assert hint.startswith("sudo usermod -aG ")
    file.chmod(0o600)


def test_disks_are_judged_by_the_room_that_is_left(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home, gib = find(), 1024**3
    disks = [
        Disk(Path("/a"), ("the database",), 50 * gib, 100 * gib, 1, 1),
        Disk(Path("/b"), ("converted models",), gib // 4, 100 * gib, 1, 1),
        Disk(Path("/c"), ("the watched folder /c",), 0, 100 * gib, 1, 1),
    ]
    assert set(levels(check_disks(home)).values()) <= {"ok", "warning", "error"}, "the real ones can be looked at"
    monkeypatch.setattr("agentd.doctor.room.read_disks", lambda folders: disks)
    assert levels(check_disks(home)) == {"disk of /a": "ok", "disk of /b": "warning", "disk of /c": "error"}
