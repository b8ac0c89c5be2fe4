import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentd.logs import follow
from agentd.logs.chunk import MAX_LINE
from agentd.logs.follow import LINGER_SECONDS
from agentd.records import source_of
from tests.logs.following import append, rotate


def test_what_is_there_and_what_is_appended_is_read_once(following, log):
    logs = following(log)
    assert logs.read() == b"one\ntwo\n"
    assert logs.read() == b""
    append(log, b"three\n")
    assert logs.read() == b"three\n"
    assert logs.committed == {(log.stat().st_dev, log.stat().st_ino): logs.follower.marks[0]}
    chunks = [(chunk.source, chunk.offset, chunk.data) for chunk in logs.chunks]
    assert chunks == [(str(log), 0, b""), (str(log), 0, b"one\ntwo\n"), (str(log), 8, b"three\n")]


def test_a_restart_goes_on_at_the_mark(following, log):
    logs = following(log)
    logs.read()
    logs.restart()
    assert logs.read() == b""
    append(log, b"three\n")
    assert logs.read() == b"three\n"


def test_a_tiny_file_with_one_line_is_read_at_once(following, tmp_path):
    logs = following(tmp_path / "*.log")
    assert logs.read() == b""
    (tmp_path / "new.log").write_bytes(b"x\n")
    assert logs.read() == b"x\n"


def test_from_the_end_only_what_comes_is_read_and_a_restart_knows_it(following, log, tmp_path):
    logs = following(tmp_path / "*.log", start="end")
    assert logs.read() == b""
    logs.restart()
    append(log, b"three\n")
    (tmp_path / "new.log").write_bytes(b"new\n")
    assert sorted(logs.read().split()) == [b"new", b"three"]


def test_from_the_end_a_line_that_is_being_written_is_read_whole(following, log):
    append(log, b"thr")
    logs = following(log, start="end")
    assert logs.read() == b""
    append(log, b"ee\n")
    assert logs.read() == b"three\n"


def test_since_a_moment_only_files_written_since_are_read(following, log, tmp_path):
    old = tmp_path / "old.log"
    old.write_bytes(b"old\n")
    os.utime(old, (0, 0))
    logs = following(tmp_path / "*.log", start=datetime(2000, 1, 1, tzinfo=UTC))
    assert logs.read() == b"one\ntwo\n"
    append(old, b"more\n")
    assert logs.read() == b"more\n"


def test_a_partial_line_and_its_rest_are_one_line_even_if_killed_in_between(following, log):
    append(log, b"thr")
    logs = following(log)
    assert logs.read() == b"one\ntwo\n"
    logs.restart()
    append(log, b"ee\n")
    assert logs.read() == b"three\n"


def test_a_last_line_that_nobody_ends_comes_after_a_while(following, log):
    append(log, b"three")
    logs = following(log)
    assert logs.read() == b"one\ntwo\n"
    assert logs.read(4.0) == b""
    assert logs.read(1.0) == b"three\n"


def test_a_line_that_is_too_long_does_not_stop_following(following, log):
    append(log, b"x" * (3 * MAX_LINE) + b"\nafter\n")
    logs = following(log)
    read = logs.read()
    assert read.startswith(b"one\ntwo\nxxx")
    assert read.endswith(f" …[cut by agentd: {2 * MAX_LINE} bytes left out]\nafter\n".encode())


def test_an_entry_that_is_written_slowly_is_whole_after_a_restart_inside_it(following, log):
    def indented(lines: bytes) -> int:
        start = lines.rfind(b"\n", 0, -1) + 1
        while start and lines[start : start + 1] == b" ":
            start = lines.rfind(b"\n", 0, start - 1) + 1
        return start

    logs = following(log, boundary=indented)
    assert logs.read() == b"one\n"
    for number in range(40):
        append(log, b" frame %d\n" % number)
        assert logs.read() == b""
    logs.restart()
    for number in range(40, 80):
        append(log, b" frame %d\n" % number)
        assert logs.read() == b""
    append(log, b"next\n")
    assert logs.read() == b"two\n" + b"".join(b" frame %d\n" % number for number in range(80))


def test_a_log_that_is_deleted_while_open_is_read_to_its_end_and_dropped(following, log):
    logs = following(log)
    logs.read()
    append(log, b"three\nfo")
    log.unlink()
    assert logs.read() == b"three\nfo\n"
    assert len(logs.follower.marks) == 1
    logs.read(LINGER_SECONDS)
    assert logs.follower.marks == []
    assert logs.committed == {}


def test_a_link_and_the_log_it_points_to_are_one_log(following, log, tmp_path):
    (tmp_path / "link.log").symlink_to(log)
    logs = following(tmp_path / "*.log")
    assert logs.read() == b"one\ntwo\n"


def test_folders_at_any_depth_are_looked_through(following, tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    logs = following(tmp_path / "**/*.log")
    assert logs.read() == b""
    (tmp_path / "a/b/deep.log").write_bytes(b"deep\n")
    (tmp_path / "top.log").write_bytes(b"top\n")
    assert sorted(logs.read().split()) == [b"deep", b"top"]


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_few_files_stay_open_and_all_are_followed(following, tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "MAX_OPEN", 5)
    paths = [tmp_path / f"{number}.log" for number in range(20)]
    for path in paths:
        path.write_bytes(b"a\n")
    before = open_files()
    logs = following(tmp_path / "*.log")
    assert logs.read() == b"a\n" * 20
    assert open_files() - before == 5
    for path in paths:
        append(path, b"b\n")
    rotate(paths[7])
    assert logs.read() == b"b\n" * 20
    assert logs.read() == b""


def test_files_without_growth_are_not_read(following, tmp_path, monkeypatch):
    for number in range(10):
        (tmp_path / f"{number}.log").write_bytes(b"a\n")
    logs = following(tmp_path / "*.log")
    logs.read()
    calls: list[str] = []
    for name in ("open", "pread"):
        monkeypatch.setattr(os, name, lambda *_, name=name: calls.append(name))
    logs.read()
    assert calls == []


def test_patterns_are_looked_up_again_only_now_and_then(following, tmp_path):
    logs = following(tmp_path / "*.log")
    logs.read()
    (tmp_path / "new.log").write_bytes(b"x\n")
    assert logs.read(0.5) == b""
    assert logs.read(0.5) == b"x\n"


def test_a_mark_is_kept_while_the_disk_of_its_file_is_away(following, log, tmp_path):
    logs = following(log)
    logs.read()
    away = tmp_path.with_name(tmp_path.name + "-away")
    logs.follower.close()
    tmp_path.rename(away)
    logs.restart()
    assert logs.read() == b""
    assert len(logs.committed) == 1
    away.rename(tmp_path)
    append(log, b"three\n")
    assert logs.read() == b"three\n"


def test_a_name_that_is_no_text_is_followed_too(following, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.log")
    path.write_bytes(b"one\n")
    logs = following(tmp_path / "*.log")
    assert logs.read() == b"one\n"
    logs.restart()
    append(path, b"two\n")
    rotate(path)
    path.write_bytes(b"three\n")
    assert logs.read() == b"two\nthree\n"
    assert {chunk.source for chunk in logs.chunks} == {source_of(path)}


def test_an_unknown_encoding_is_refused_at_once(following, log):
    with pytest.raises(LookupError):
        following(log, encoding="klingon")
