import bz2
import gzip
import lzma
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.errors import Unreadable
from tests.logs.following import compress, rotate


@pytest.fixture
def hidden() -> Iterator[Path]:
    """A folder that others may enter, while this process is not allowed what root is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    (folder / "app.log").write_bytes(b"one\n")
    (folder / "app.log").chmod(0)
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


def as_owner(action) -> None:
    """Do something as the user that the test runs as."""
    user = os.geteuid()
    os.seteuid(os.getuid())
    action()
    os.seteuid(user)


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_compressed_file_that_a_pattern_means_is_read_once_as_text(following, tmp_path, ending, pack):
    text = b"".join(b"line %d\n" % number for number in range(300_000)) + b"not ended"
    packed = tmp_path / f"app.log.1{ending}"
    packed.write_bytes(pack(text))
    logs = following(tmp_path / "app.log*")
    assert logs.read() == text + b"\n"
    assert logs.read() == b""
    logs.restart()
    assert logs.read() == b""
    os.utime(packed)
    assert logs.read() == b""


def test_from_the_end_compressed_files_are_not_read(following, log):
    rotate(log)
    compress(log.with_name("app.log.1"))
    logs = following(log.with_name("app.log*"), start="end")
    assert logs.read() == b""
    logs.restart()
    log.write_bytes(b"new\n")
    assert logs.read() == b"new\n"


def test_a_damaged_compressed_file_is_a_problem_and_the_others_are_read(following, log):
    damaged = log.with_name("app.log.1.gz")
    text = os.urandom(100_000).hex().encode() + b"\n"
    damaged.write_bytes(gzip.compress(b"first\n" + text)[:20_000])
    logs = following(log.with_name("app.log*"))
    assert logs.read() == b"one\ntwo\nfirst\n"
    problem = logs.follower.problems[str(damaged)]
    assert isinstance(problem, Unreadable)
    assert problem.hint == f"gzip -t {damaged}"
    assert logs.read() == b""
    damaged.write_bytes(gzip.compress(b"first\n" + text))
    logs.read()
    assert b"".join(chunk.data for chunk in logs.chunks if chunk.source == str(damaged)) == b"first\n" + text
    assert logs.follower.problems == {}


def test_without_a_library_for_zstd_the_file_is_a_problem_that_says_what_to_install(
    following, tmp_path, monkeypatch
):
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    packed = tmp_path / "app.log.1.zst"
    packed.write_bytes(b"\x28\xb5\x2f\xfd")
    logs = following(tmp_path / "app.log*")
    assert logs.read() == b""
    problem = logs.follower.problems[str(packed)]
    assert str(packed) in problem.message
    assert problem.hint == "pip install zstandard"


@pytest.mark.parametrize("pattern", ["app.log", "*.log"])
def test_a_file_that_may_not_be_read_is_a_problem_until_it_may(following, hidden, pattern):
    logs = following(hidden / pattern)
    assert logs.read() == b""
    path = hidden / "app.log"
    assert {source: (why.message, why.hint) for source, why in logs.follower.problems.items()} == {
        str(path): (f"cannot read {path}: Permission denied", f"ls -ld {path}")
    }
    as_owner(lambda: path.chmod(0o644))
    assert logs.read() == b"one\n"
    assert logs.follower.problems == {}


@pytest.mark.parametrize("pattern", ["app.log", "*.log"])
def test_a_folder_that_may_not_be_entered_is_a_problem_until_it_may(following, hidden, pattern):
    as_owner(lambda: ((hidden / "app.log").chmod(0o644), hidden.chmod(0)))
    logs = following(hidden / pattern)
    assert logs.read() == b""
    named = hidden / "app.log" if pattern == "app.log" else hidden
    assert list(logs.follower.problems) == [str(named)]
    as_owner(lambda: hidden.chmod(0o755))
    assert logs.read() == b"one\n"
    assert logs.follower.problems == {}


def test_for_a_log_of_the_group_adm_the_hint_is_to_join_it(following, hidden):
    path = hidden / "app.log"
    if os.getuid() != 0:
        pytest.skip("only root gives files to a group")
    as_owner(lambda: (shutil.chown(path, group="adm"), path.chmod(0o640)))
    logs = following(path)
    logs.read()
    assert logs.follower.problems[str(path)].hint.startswith("sudo usermod -aG adm $USER")


def test_pipes_folders_and_sockets_are_never_opened(following, tmp_path, log):
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.log"))
        logs = following(tmp_path / "*.log")
        assert logs.read() == b"one\ntwo\n"
    assert logs.follower.problems == {}
