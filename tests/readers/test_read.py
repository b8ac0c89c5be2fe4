"""Files as they come: what becomes a document, and by which name the rest is refused."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentd.errors import (
    AgentdError,
    BadEncoding,
    EmptyInput,
    InputError,
    Malformed,
    NotAFile,
    NotText,
    TooLarge,
    UnclosedFrontMatter,
    Unreadable,
    Vanished,
)
from agentd.readers.read import Reader, content_of, read_text
from agentd.records import path_of

READER = Reader()


@pytest.fixture(scope="module", autouse=True)
def close() -> Iterator[None]:
    yield
    READER.close()


BAD_BYTES = [
    ("a.md", b"", EmptyInput, "empty"),
    ("a.md", b" \r\n\t\n", EmptyInput, "empty"),
    ("a.md", b"\xef\xbb\xbf", EmptyInput, "empty"),
    ("a.md", b"---\ntitle: x\n---\n", EmptyInput, "front matter and no text"),
    ("a.md", b"\x89PNG\r\n\x1a\n and more", NotText, "a PNG picture"),
    ("a.txt", b"%PDF-1.7\n", Malformed, "a PDF and is broken"),
    ("a.md", b"PK\x03\x04more", Malformed, "ZIP"),
    ("a.md", b"GGUF\x03\x00", NotText, "GGUF"),
    ("a.md", b"text\0text", NotText, "NUL bytes"),
    ("a.md", b"\xef\xbb\xbftext\0text", NotText, "NUL bytes"),
    ("a.md", "text\0text".encode("utf-16"), NotText, "NUL characters"),
    ("a.md", b"\xff\xfea\xd8b", BadEncoding, "begins like UTF-16 and is not"),
    ("a.md", b"one\ntwo\nthr\xe9e\n", BadEncoding, "byte 0xe9 in line 3"),
    ("a.md", b"\xef\xbb\xbfone\ntwo\xe9\n", BadEncoding, "byte 0xe9 in line 2"),
    ("a.md", b"cut \xf0\x9f\x8c", BadEncoding, "byte 0xf0 in line 1"),
    ("a.md", b"---\ntitle: x\n\nText.\n", UnclosedFrontMatter, "a.md:1: the front matter"),
    ("a.md", b"\xef\xbb\xbf---\r\ntitle: x\r\nText.\r\n", UnclosedFrontMatter, "never closed"),
]


@pytest.mark.parametrize(("name", "raw", "kind", "reason"), BAD_BYTES)
def test_what_is_no_document_is_refused_by_name(
    tmp_path: Path, name: str, raw: bytes, kind: type[AgentdError], reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(raw)
    with pytest.raises(kind, match=reason) as refused:
        READER.read(file)
    assert type(refused.value) is kind
    assert isinstance(refused.value, InputError)
    assert not refused.value.retryable
    assert str(file) in refused.value.message
    assert file.read_bytes() == raw


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_link(path: Path) -> None:
    (path.parent / "target.md").write_text("secret")
    path.symlink_to("target.md")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "kind", "reason"),
    [
        (make_fifo, NotAFile, "not a regular file"),
        (make_socket, NotAFile, "is a socket"),
        (Path.mkdir, NotAFile, "a folder, not a file"),
        (make_link, NotAFile, "a symbolic link, which is not followed"),
        (make_loop, NotAFile, "a symbolic link"),
        (lambda path: None, Vanished, "there is no file"),
    ],
)
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: type, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(tmp_path / "a.md")
    with pytest.raises(kind, match=reason):
        READER.read(tmp_path / "a.md")


def test_paths_that_no_system_takes_are_refused() -> None:
    with pytest.raises(NotAFile):
        READER.read(Path("/tmp/" + "x" * 300))
    with pytest.raises(Vanished):
        READER.read(Path("/etc/passwd/a.md"))


def test_a_file_larger_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    with file.open("wb") as sparse:
        sparse.truncate(2 * 1024**3)
    with pytest.raises(TooLarge, match="2,147,483,648 bytes, the limit is 20,971,520"):
        READER.read(file)
    file.write_text("12345")
    assert READER.read(file, max_bytes=5).text == "12345"
    with pytest.raises(TooLarge, match="5 bytes, the limit is 4"):
        READER.read(file, max_bytes=4)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("secret")
    file.chmod(0)
    tmp_path.chmod(0o755)
    # Root may read everything, so the reader drops its rights first.
    code = (
        "import os, sys; from pathlib import Path; from agentd.readers.read import Reader;"
        "from agentd.errors import Unreadable\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: Reader().read(Path('a.md'))\n"
        "except Unreadable as refused: sys.exit('refused: ' + refused.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "refused: cannot open a.md: Permission denied" in done.stderr


@pytest.mark.parametrize(
    "raw",
    [
        "Grüße\nan alle\n".encode(),
        "Grüße\nan alle\n".encode("utf-8-sig"),
        "Grüße\nan alle\n".encode("utf-16"),
        b"\xfe\xff" + "Grüße\nan alle\n".encode("utf-16-be"),
    ],
)
def test_utf_8_and_marked_utf_16_are_read(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(raw)
    document = READER.read(file)
    assert document.text == "Grüße\nan alle\n"
    assert document.content == hashlib.sha256(raw).hexdigest() == content_of(file)
    assert (document.kind, document.lines, document.source) == ("text", 2, str(file))


def test_a_windows_note_with_a_mark_and_front_matter_keeps_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"\xef\xbb\xbf---\r\ntitle: x\r\n---\r\n\r\nFifth line.\r\n")
    document = READER.read(file)
    assert document.front_matter == "title: x\r\n"
    assert document.text == "\r\nFifth line.\r\n"
    assert (document.first_line, document.passages[0].line) == (4, 4)


@pytest.mark.parametrize(("name", "kind"), [("a.md", "markdown"), ("a.MARKDOWN", "markdown"), ("a.txt", "text")])
def test_the_kind_comes_from_the_name(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("---\na: b\n---\nText\n")
    document = READER.read(tmp_path / name)
    assert document.kind == kind
    assert (document.text, document.front_matter) == ("Text\n", "a: b\n")


def test_a_text_that_only_looks_like_front_matter_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("---\nkey: a stream of YAML\n")
    assert READER.read(tmp_path / "a.txt").text == "---\nkey: a stream of YAML\n"


@pytest.mark.parametrize("name", [b"a\nb.md", b"caf\xe9.md", "ünï 🌱.md".encode(), b"it's $(id).md", b"-rf.md"])
def test_any_name_can_be_read_and_its_errors_stored(tmp_path: Path, name: bytes) -> None:
    file = tmp_path / os.fsdecode(name)
    file.write_text("Text")
    document = READER.read(file)
    document.source.encode()
    assert path_of(document.source) == file
    file.write_bytes(b"\xe9\n")
    with pytest.raises(BadEncoding) as refused:
        READER.read(file)
    refused.value.message.encode()
    file.unlink()
    with pytest.raises(Vanished) as refused_again:
        READER.read(file)
    refused_again.value.message.encode()


def test_the_next_command_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "it's $(touch pwned).md"
    file.write_bytes(b"\xe9\n")
    with pytest.raises(BadEncoding) as refused:
        READER.read(file)
    done = subprocess.run(["sh", "-c", refused.value.hint], cwd=tmp_path, capture_output=True, timeout=30)
    assert done.stdout == "é\n".encode()
    assert not (tmp_path / "pwned").exists()


def test_a_text_from_elsewhere_becomes_a_document_too() -> None:
    document = read_text(b"---\na: b\n---\nText", "stdin")
    assert (document.text, document.source, document.first_line) == ("Text", "stdin", 4)


def test_a_pipe_that_takes_the_place_of_a_file_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    previous = signal.alarm(20)
    try:
        with pytest.raises(NotAFile):
            content_of(tmp_path / "a.md")
    finally:
        signal.alarm(previous)


def test_a_file_that_cannot_be_listed_is_unreadable_and_not_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(Unreadable, match="Input/output error"):
        READER.read(tmp_path / "a.md")
