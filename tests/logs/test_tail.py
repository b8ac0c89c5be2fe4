import os
import zlib
from pathlib import Path

import pytest

from agentd.logs.chunk import CHUNK_BYTES, MAX_LINE, Chunk
from agentd.logs.tail import Tail
from agentd.records import Mark


class Descriptor:
    """A real file, read as the follower reads it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.largest = 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.largest = max(self.largest, size)
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        os.close(self._file)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A file that is written and followed."""

    def __init__(self, path: Path, encoding: str = "utf-8", boundary=len) -> None:
        self.path, self.encoding, self.boundary = path, encoding, boundary
        self.clock = Clock()
        path.touch()
        self.tail = self.open(0)

    def open(self, offset: int) -> Tail:
        crc = zlib.crc32(self.path.read_bytes()[: min(1024, offset)])
        mark = Mark(str(self.path), 7, 8, offset, crc)
        return Tail(
            Descriptor(self.path),
            mark,
            encoding=self.encoding,
            boundary=self.boundary,
            flush=5.0,
            clock=self.clock,
        )

    def restart(self) -> None:
        offset = self.tail.mark.offset
        self.tail.close()
        self.tail = self.open(offset)

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def read(self) -> list[Chunk]:
        return list(self.tail.read(self.path.stat().st_size, 12.5))

    def release(self) -> list[Chunk]:
        return list(self.tail.release())


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "app.log")
    yield log
    log.tail.close()


@pytest.fixture
def make(tmp_path):
    made = []

    def make_log(**options) -> Log:
        made.append(Log(tmp_path / "app.log", **options))
        return made[-1]

    yield make_log
    for log in made:
        log.tail.close()


def data(chunks):
    return b"".join(chunk.data for chunk in chunks)


def indented(lines: bytes) -> int:
    """An entry begins where a line does not begin with a blank."""
    start = lines.rfind(b"\n", 0, -1) + 1
    while start and lines[start : start + 1] == b" ":
        start = lines.rfind(b"\n", 0, start - 1) + 1
    return start


def test_a_chunk_says_where_it_begins_and_where_reading_stands_after_it(log):
    log.write(b"one\ntwo\n")
    first = log.read()
    log.write(b"three\n")
    second = log.read()
    path = str(log.path)
    assert first == [Chunk(path, 0, b"one\ntwo\n", Mark(path, 7, 8, 8, zlib.crc32(b"one\ntwo\n")), modified=12.5)]
    assert second == [
        Chunk(path, 8, b"three\n", Mark(path, 7, 8, 14, zlib.crc32(b"one\ntwo\nthree\n")), modified=12.5)
    ]


def test_the_fingerprint_is_of_no_more_than_the_first_kilobyte(log):
    log.write(b"x" * 1500 + b"\n" + b"y" * 1500 + b"\n")
    assert [chunk.mark.crc for chunk in log.read()] == [zlib.crc32(b"x" * 1024)]


def test_a_partial_line_and_its_rest_are_one_line(log):
    log.write(b"done\nhalf a ")
    assert data(log.read()) == b"done\n"
    assert log.tail.mark.offset == 5
    assert log.release() == []
    log.write(b"line\n")
    (chunk,) = log.read()
    assert (chunk.offset, chunk.data, chunk.mark.offset) == (5, b"half a line\n", 17)


def test_a_restart_reads_a_partial_line_again(log):
    log.write(b"done\nhalf a ")
    log.read()
    log.restart()
    log.write(b"line\n")
    assert data(log.read()) == b"half a line\n"


def test_a_line_that_nobody_ends_is_handed_out_when_it_did_not_grow(log):
    log.write(b"no end")
    log.read()
    log.clock.now += 4.9
    log.write(b" yet")
    log.read()
    log.clock.now += 4.9
    assert log.release() == []
    log.clock.now += 0.1
    (chunk,) = log.release()
    assert (chunk.data, chunk.mark.offset) == (b"no end yet\n", 10)
    assert log.release() == []


@pytest.mark.parametrize("restarted", [False, True])
def test_the_newline_that_comes_late_is_no_empty_line(log, restarted):
    log.write(b"no end")
    log.read()
    log.clock.now += 5
    log.release()
    if restarted:
        log.restart()
    log.write(b"\nnext\n")
    (chunk,) = log.read()
    assert (chunk.offset, chunk.data, chunk.mark.offset) == (7, b"next\n", 12)


def test_what_follows_a_line_that_was_handed_out_unended_is_a_line_of_its_own(log):
    log.write(b"no end")
    log.read()
    log.clock.now += 5
    log.release()
    log.write(b" after all\n")
    assert data(log.read()) == b" after all\n"


def test_an_entry_that_may_go_on_is_held_back_and_not_marked(make):
    log = make(boundary=indented)
    log.write(b"a\nTraceback\n in main\n")
    (chunk,) = log.read()
    assert (chunk.data, chunk.mark.offset) == (b"a\n", 2)
    log.restart()
    log.write(b" in f\nb\n")
    assert data(log.read()) == b"Traceback\n in main\n in f\n"
    log.clock.now += 5
    assert data(log.release()) == b"b\n"


def test_an_entry_without_end_is_handed_out_in_pieces(make):
    log = make(boundary=lambda lines: 0)
    line = b"x" * 1023 + b"\n"
    log.write(line * 4000)
    chunks = log.read()
    log.clock.now += 5
    assert data(chunks + log.release()) == line * 4000
    assert max(len(chunk.data) for chunk in chunks) <= CHUNK_BYTES + 64 * 1024


def test_a_large_file_comes_in_chunks_that_join_without_a_gap(log):
    text = b"".join(b"line %d\n" % number for number in range(400_000))
    log.write(text)
    chunks = log.read()
    assert data(chunks) == text
    assert max(len(chunk.data) for chunk in chunks) <= CHUNK_BYTES
    assert [chunk.offset for chunk in chunks[1:]] == [chunk.mark.offset for chunk in chunks[:-1]]


def test_a_line_that_is_too_long_is_cut_alone_and_following_goes_on(log):
    log.write(b"before\n" + b"x" * (50 * MAX_LINE) + b"\nafter\n")
    chunks = log.read()
    note = f" …[cut by agentd: {49 * MAX_LINE} bytes left out]\n".encode()
    assert [chunk.data for chunk in chunks] == [b"before\n", b"x" * MAX_LINE + note, b"after\n"]
    assert [chunk.cut for chunk in chunks] == [0, 49 * MAX_LINE, 0]
    assert [chunk.offset for chunk in chunks] == [0, 7, 8 + 50 * MAX_LINE]
    assert chunks[-1].mark.offset == log.path.stat().st_size


def test_a_long_line_is_read_in_pieces(log):
    log.write(b"x" * (5 * MAX_LINE) + b"\n")
    log.tail.close()
    content = Descriptor(log.path)
    log.tail = Tail(content, log.tail.mark, encoding="utf-8", boundary=len, flush=5.0)
    assert [chunk.cut for chunk in log.read()] == [4 * MAX_LINE]
    assert content.largest <= CHUNK_BYTES


def test_a_line_of_just_the_longest_length_is_whole(log):
    log.write(b"a\n" + b"x" * MAX_LINE + b"\n")
    chunks = log.read()
    assert data(chunks) == b"a\n" + b"x" * MAX_LINE + b"\n"
    assert {chunk.cut for chunk in chunks} == {0}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_rest_of_a_long_line_that_still_grows_is_left_out_until_its_end(log, restarted):
    log.write(b"a\n" + b"x" * (MAX_LINE + 10))
    assert data(log.read()) == b"a\n"
    log.clock.now += 4
    log.write(b"x" * 10)
    log.read()
    log.clock.now += 1  # it grew meanwhile: a line that always grows would never be handed out
    (chunk,) = log.release()
    assert chunk.data == b"x" * MAX_LINE + " …[cut by agentd: 20 bytes left out]\n".encode()
    if restarted:
        log.restart()
    log.write(b"x" * 30)
    (rest,) = log.read()
    assert (rest.data, rest.cut, rest.mark.offset) == (b"", 30, MAX_LINE + 52)
    log.write(b"x\nnext\n")
    end, following = log.read()
    assert (end.data, end.cut) == (b"", 1)
    assert (following.data, following.cut) == (b"next\n", 0)


def test_a_hole_of_nuls_is_skipped_and_counted(log):
    log.write(b"old\n")
    log.read()
    with log.path.open("r+b") as file:
        file.truncate(4 + 20 * CHUNK_BYTES)
        file.seek(4 + 20 * CHUNK_BYTES)
        file.write(b"new\n")
    (chunk,) = log.read()
    assert (chunk.data, chunk.skipped, chunk.offset) == (b"new\n", 20 * CHUNK_BYTES, 4 + 20 * CHUNK_BYTES)
    assert chunk.mark.offset == log.path.stat().st_size


def test_nuls_between_lines_of_one_read_are_skipped(log):
    log.write(b"a\n\0\0\0b\0c\n")
    assert [(chunk.data, chunk.skipped) for chunk in log.read()] == [(b"a\n", 0), (b"b\0c\n", 3)]


def test_room_made_beforehand_is_read_once_something_is_written_there(log):
    log.write(b"a\n" + bytes(100))
    assert data(log.read()) == b"a\n"
    with log.path.open("r+b") as file:
        file.seek(2)
        file.write(b"b\n")
    assert data(log.read()) == b"b\n"
    assert log.tail.mark.offset == 4


def test_bytes_that_are_not_utf_8_and_carriage_returns_are_left_as_they_are(log):
    log.write(b"gr\xc3")
    assert log.read() == []
    log.write(b"\xbcn\r\n\xff\n")
    assert data(log.read()) == b"gr\xc3\xbcn\r\n\xff\n"


@pytest.mark.parametrize(
    ("encoding", "written", "mark"),
    [
        ("utf-16-le", "utf-16-le", b""),
        ("utf-16-be", "utf-16-be", b""),
        ("utf-16", "utf-16-le", b"\xff\xfe"),
        ("utf-16", "utf-16-be", b"\xfe\xff"),
        ("utf-8", "utf-8", b"\xef\xbb\xbf"),
        ("latin-1", "latin-1", b""),
    ],
)
def test_other_encodings_come_out_as_utf_8_with_offsets_of_the_file(make, encoding, written, mark):
    log = make(encoding=encoding, boundary=indented)
    # In UTF-16, U+0A0A and U+0A00 hold bytes that look like a newline.
    first = "grün\n und mehr\n" + ("" if encoding == "latin-1" else "\u0a0a\u0a00\u0a0a\n")
    held = "ä\n ö\n"
    log.write(mark + first.encode(written) + held.encode(written) + "ü".encode(written)[:1])
    (chunk,) = log.read()
    assert chunk.data.decode() == first
    assert chunk.mark.offset == len(mark + first.encode(written))
    log.restart()
    log.write("ü".encode(written)[1:] + "\nz\n".encode(written))
    assert data(log.read() + list(log.tail.release(at_once=True))).decode() == held + "ü\nz\n"
    assert log.tail.mark.offset == log.path.stat().st_size


def test_a_hole_in_utf_16_is_skipped(make):
    log = make(encoding="utf-16-be")
    log.write("a\n".encode("utf-16-be") + bytes(10) + "b\n".encode("utf-16-be"))
    assert [(chunk.data, chunk.skipped) for chunk in log.read()] == [(b"a\n", 0), (b"b\n", 10)]


def test_an_unknown_encoding_is_refused(tmp_path):
    (tmp_path / "a.log").touch()
    content = Descriptor(tmp_path / "a.log")
    with pytest.raises(LookupError):
        Tail(content, Mark("a", 1, 2, 0, 0), encoding="klingon", boundary=len, flush=5.0)
    content.close()


def test_starting_over_reads_from_the_beginning(make):
    log = make(boundary=indented)
    log.write(b"old\n more")
    log.read()
    log.path.write_bytes(b"new\n")
    log.tail.start_over()
    assert log.read() == []
    log.clock.now += 5
    assert data(log.release()) == b"new\n"


def test_another_beginning_is_noticed(log):
    log.write(b"one\ntwo\n")
    log.read()
    assert log.tail.begins_as_before()
    log.write(b"three\n")
    assert log.tail.begins_as_before()
    log.path.write_bytes(b"six\nseven\neight\n")
    assert not log.tail.begins_as_before()
