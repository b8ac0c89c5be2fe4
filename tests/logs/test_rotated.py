import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from agentd.logs.follow import LINGER_SECONDS
from agentd.logs.rotated import base_of, pieces_of
from agentd.records import Mark
from tests.logs.following import append, compress, copytruncate, rotate


def test_a_renamed_log_is_drained_before_the_new_one_is_read(following, log):
    logs = following(log)
    logs.read()
    append(log, b"three\n")
    rotate(log)
    log.write_bytes(b"four\n")
    assert logs.read() == b"three\nfour\n"
    append(log.with_name("app.log.1"), b"late\n")
    assert logs.read() == b"late\n"


def test_a_rotated_log_is_let_go_once_nobody_writes_to_it(following, log):
    logs = following(log)
    logs.read()
    rotate(log)
    log.write_bytes(b"four\n")
    logs.read()
    assert len(logs.committed) == 2
    logs.read(LINGER_SECONDS)
    assert [mark.inode for mark in logs.committed.values()] == [log.stat().st_ino]
    logs.restart()
    assert logs.read() == b""


def test_a_log_renamed_while_stopped_is_found_beside_and_not_read_again(following, log):
    logs = following(log)
    logs.read()
    append(log, b"three\n")
    rotate(log)
    log.write_bytes(b"four\n")
    logs.restart()
    assert logs.read() == b"three\nfour\n"


@pytest.mark.parametrize("glob", [False, True])
def test_two_rotations_while_stopped_are_read_oldest_first(following, log, glob):
    log.with_name("app.log.1").write_bytes(b"complete before\n")
    logs = following(log.with_name("app.log*") if glob else log)
    logs.read()
    append(log, b"three\n")
    rotate(log)
    log.write_bytes(b"four\n")
    rotate(log)
    log.write_bytes(b"five\n")
    logs.restart()
    assert logs.read() == b"three\nfour\nfive\n"


def test_dates_in_rotated_names_tell_their_order(following, log):
    log.with_name("app.log-20261121").write_bytes(b"complete before\n")
    logs = following(log)
    logs.read()
    append(log, b"three\n")
    log.rename(log.with_name("app.log-20261122"))
    newer = log.with_name("app.log-20261123.gz")
    newer.write_bytes(gzip.compress(b"four\n"))
    os.utime(newer, (0, 0))
    log.write_bytes(b"five\n")
    logs.restart()
    assert logs.read() == b"three\nfour\nfive\n"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_truncated_log_is_read_from_its_beginning(following, log, stopped):
    logs = following(log)
    logs.read()
    log.write_bytes(b"new\n")
    if stopped:
        logs.restart()
    assert logs.read() == b"new\n"
    logs.restart()
    assert logs.read() == b""


@pytest.mark.parametrize("stopped", [False, True])
def test_a_log_that_was_truncated_and_grew_past_the_mark_is_read_from_its_beginning(following, log, stopped):
    logs = following(log)
    logs.read()
    log.write_bytes(b"uno\ndos\ntres\n")
    if stopped:
        logs.restart()
    assert logs.read() == b"uno\ndos\ntres\n"


def test_a_log_emptied_written_anew_and_renamed_while_stopped_is_read(following, log):
    logs = following(log)
    logs.read()
    log.write_bytes(b"three\nfour\nfive\n")
    rotate(log)
    log.write_bytes(b"six\n")
    logs.restart()
    assert logs.read() == b"three\nfour\nfive\nsix\n"
    logs.restart()
    assert logs.read() == b""


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("glob", [False, True])
def test_a_log_that_is_copied_and_truncated_is_not_read_again_and_loses_nothing(following, log, glob, stopped):
    logs = following(log.with_name("app.log*") if glob else log)
    logs.read()
    append(log, b"three\n")
    copytruncate(log)
    append(log, b"four\n")
    if stopped:
        logs.restart()
    assert logs.read() == b"three\nfour\n"
    assert logs.read() == b""
    logs.restart()
    assert logs.read() == b""


def test_a_copy_is_left_alone_while_the_log_is_still_there(following, log):
    logs = following(log.with_name("app.log*"))
    logs.read()
    shutil.copy(log, log.with_name("app.log.1"))
    assert logs.read() == b""
    logs.restart()
    append(log, b"three\n")
    assert logs.read() == b"three\n"
    os.truncate(log, 0)
    append(log, b"four\n")
    assert logs.read() == b"four\n"
    assert logs.read() == b""


def test_a_copy_that_misses_what_was_written_meanwhile_is_not_read_again(following, log):
    logs = following(log.with_name("app.log*"))
    logs.read()
    shutil.copy(log, log.with_name("app.log.1"))
    append(log, b"three\n")
    assert logs.read() == b"three\n"
    os.truncate(log, 0)
    assert logs.read() == b""
    append(log, b"four\n")
    assert logs.read() == b"four\n"
    assert logs.read() == b""


def test_logs_with_the_same_long_header_are_both_read(following, tmp_path):
    header = b"#" * 2000 + b"\n"
    (tmp_path / "a.log").write_bytes(header + b"a\n")
    (tmp_path / "a.log.1").write_bytes(header + b"older\n")
    logs = following(tmp_path / "*.log*")
    assert logs.read().replace(header, b"") in (b"a\nolder\n", b"older\na\n")
    (tmp_path / "b.log").write_bytes(header + b"b\n")
    (tmp_path / "a.log.2").write_bytes(header + b"oldest\n")
    assert sorted(logs.read().replace(header, b"").split()) == [b"b", b"oldest"]


def test_a_new_log_that_begins_like_the_rotated_one_is_read(following, tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"started\n")
    logs = following(tmp_path / "app.log*")
    assert logs.read() == b"started\n"
    rotate(log)
    log.write_bytes(b"started\n")
    assert logs.read() == b"started\n"
    logs.restart()
    rotate(log)
    log.write_bytes(b"started\n")
    assert logs.read() == b"started\n"


def test_a_file_that_got_the_inode_of_another_is_read_from_its_beginning(following, log, tmp_path):
    logs = following(tmp_path / "*.log")
    logs.read()
    (mark,) = logs.committed.values()
    log.unlink()
    other = tmp_path / "other.log"
    other.write_bytes(b"something else, and longer\n")
    # The system gives inodes away as it likes: here the mark is made to be of this one.
    logs.committed = {
        (mark.device, other.stat().st_ino): Mark(mark.path, mark.device, other.stat().st_ino, 8, mark.crc)
    }
    logs.restart()
    assert logs.read() == b"something else, and longer\n"


def test_a_hole_left_by_a_writer_that_keeps_its_place_is_skipped(following, log):
    logs = following(log)
    with log.open("r+b") as writer:
        writer.seek(0, os.SEEK_END)
        logs.read()
        os.truncate(log, 0)
        writer.write(b"three\n")
        writer.flush()
        assert logs.read() == b"three\n"
    assert logs.chunks[-1].skipped == 8
    logs.restart()
    assert logs.read() == b""


@pytest.mark.parametrize("glob", [False, True])
def test_the_unread_end_of_a_log_compressed_while_stopped_is_read_from_there(following, log, glob):
    logs = following(log.with_name("app.log*") if glob else log)
    logs.read()
    append(log, b"three\n")
    rotate(log)
    compress(log.with_name("app.log.1"))
    log.write_bytes(b"four\n")
    logs.restart()
    assert logs.read() == b"three\nfour\n"
    logs.restart()
    assert logs.read() == b""


@pytest.mark.parametrize("glob", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_of_a_log_that_was_read_nothing_is_read_again_once_it_is_compressed(following, log, glob, stopped):
    logs = following(log.with_name("app.log*") if glob else log)
    logs.read()
    rotate(log)
    log.write_bytes(b"four\n")
    logs.read()
    compress(log.with_name("app.log.1"))
    if stopped:
        logs.restart()
    assert logs.read() == b""
    assert logs.read(LINGER_SECONDS) == b""
    assert logs.read() == b""
    logs.restart()
    assert logs.read() == b""
    assert logs.follower.problems == {}


def test_a_link_that_points_elsewhere_is_followed_there_after_the_old_log(following, tmp_path):
    monday, tuesday, link = (tmp_path / name for name in ("app-mon.log", "app-tue.log", "current"))
    monday.write_bytes(b"one\n")
    link.symlink_to(monday)
    logs = following(link)
    assert logs.read() == b"one\n"
    append(monday, b"two\n")
    tuesday.write_bytes(b"three\n")
    link.unlink()
    link.symlink_to(tuesday)
    assert logs.read() == b"two\nthree\n"
    append(tuesday, b"four\n")
    link.unlink()
    link.symlink_to(tmp_path / "app-wed.log")
    (tmp_path / "app-wed.log").write_bytes(b"five\n")
    logs.restart()
    assert logs.read() == b"four\nfive\n"


def rename(log: Path) -> None:
    rotate(log)
    log.touch()


def rename_and_compress(log: Path) -> None:
    rename(log)
    compress(log.with_name("app.log.1"))


ROTATE = {"rename": rename, "copytruncate": copytruncate, "compress": rename_and_compress}


@pytest.mark.parametrize("glob", [False, True])
@pytest.mark.parametrize("scene", ["rename", "copytruncate", "compress"])
@pytest.mark.parametrize("chunks", range(6))
def test_a_death_between_any_two_commits_neither_loses_nor_repeats_a_line(following, log, scene, glob, chunks):
    logs = following(log.with_name("app.log*") if glob else log)
    read = logs.read()
    expected = b"one\ntwo\n"
    for turn in range(3):
        append(log, b"before %d\n" % turn)
        ROTATE[scene](log)
        append(log, b"after %d\n" % turn)
        if turn == 1:
            logs.restart()
        read += logs.die_after(chunks)
        expected += b"before %d\nafter %d\n" % (turn, turn)
    for _ in range(3):
        read += logs.read()
    assert read == expected
    logs.restart()
    assert logs.read(LINGER_SECONDS) + logs.read(LINGER_SECONDS) == b""


@pytest.mark.parametrize("glob", [False, True])
@pytest.mark.parametrize("scene", ["rename", "copytruncate", "compress"])
@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_in_whatever_order_every_line_is_read_once(following, log, scene, glob, seed):
    chance = random.Random(seed)
    logs = following(log.with_name("app.log*") if glob else log)
    read = logs.read()
    expected = [b"one", b"two"]
    for _ in range(30):
        match chance.choice(["write", "write", "write", "read", "linger", "die", "restart", "rotate"]):
            case "write":
                lines = [b"line %d" % (len(expected) + more) for more in range(chance.randint(1, 150))]
                append(log, b"\n".join(lines) + b"\n")
                expected += lines
            case "read":
                read += logs.read()
            case "linger":
                read += logs.read(LINGER_SECONDS)
            case "die":
                read += logs.die_after(chance.randint(0, 4))
            case "restart":
                logs.restart()
            case "rotate":
                # A log of which nothing was read cannot be known again by how it begins.
                read += logs.read()
                append(log, b"line %d\n" % len(expected))
                expected.append(b"line %d" % len(expected))
                ROTATE[scene](log)
    for _ in range(3):
        read += logs.read()
    assert sorted(read.splitlines()) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("app.log", "app.log"),
        ("app.log.1", "app.log"),
        ("app.log.2.gz", "app.log"),
        ("app.log-20261124", "app.log"),
        ("app.log-20261124.zst", "app.log"),
        ("app.log.2026-11-24_15", "app.log"),
        ("app.log.old", "app.log"),
        ("app.log.gz", "app.log"),
        ("app-2026.log", "app-2026.log"),
        ("app.log.bak~", "app.log.bak~"),
    ],
)
def test_the_name_before_rotation(name, base):
    assert base_of(name) == base


@pytest.mark.parametrize(
    "names",
    [
        ["app.log.10.gz", "app.log.9.gz", "app.log.2", "app.log.1"],
        ["app.log-20251231.gz", "app.log-20261124", "app.log-20261124.2"],
        ["app.log.2026-11-23", "app.log.2026-11-24"],
    ],
)
def test_pieces_come_oldest_first_by_name_whenever_they_were_written(tmp_path, names):
    for name in [*reversed(names), "app.log", "app.log.conf", "other.log.1"]:
        (tmp_path / name).touch()
    assert [path.name for path in pieces_of(tmp_path / "app.log")] == names


def test_pieces_that_are_named_in_two_ways_come_as_they_were_written(tmp_path):
    names = ["app.log.1", "app.log-20261124", "app.log.old"]
    for moment, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (moment, moment))
    assert [path.name for path in pieces_of(tmp_path / "app.log")] == names


def test_a_piece_that_is_being_compressed_is_there_once(tmp_path):
    for name in ["app.log.1", "app.log.1.gz", "app.log.2.gz"]:
        (tmp_path / name).touch()
    assert [path.name for path in pieces_of(tmp_path / "app.log")] == ["app.log.2.gz", "app.log.1"]
