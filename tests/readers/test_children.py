"""Reader children: what a bad file does to one of them it does to nobody else."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agentd.errors import ReaderFailed
from agentd.readers import children
from agentd.readers.children import Children
from tests.waiting import wait_for

PAGE = b"<html><body>fine</body></html>"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "a.html"
    file.write_bytes(PAGE)
    return file


@pytest.fixture
def pool() -> Iterator[Children]:
    pool = Children()
    yield pool
    pool.close()


def read(pool: Children, file: Path, kind: str = "html") -> str:
    with file.open("rb") as opened:
        return pool.read(kind, opened, str(file)).text


def reader_children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "agentd.readers.child" in " ".join(one.cmdline())]


def test_a_child_stays_warm_for_the_next_file(pool: Children, page: Path) -> None:
    assert read(pool, page) == "fine"
    (child,) = reader_children()
    assert read(pool, page) == "fine"
    assert [one.pid for one in reader_children()] == [child.pid]
    pool.close()
    assert not reader_children()


def test_a_child_is_replaced_after_many_files(pool: Children, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "FILES", 1)
    read(pool, page)
    assert not reader_children()


def test_a_child_that_died_while_it_was_idle_is_replaced(pool: Children, page: Path) -> None:
    read(pool, page)
    (child,) = reader_children()
    child.kill()
    child.wait()
    assert read(pool, page) == "fine"


def test_a_child_that_dies_of_a_file_is_named_and_the_next_file_is_read(page: Path) -> None:
    pool = Children()
    try:
        read(pool, page)
        (child,) = reader_children()
        child.suspend()
        (taken,) = pool._idle
        failed: list[str] = []

        def ask() -> None:
            with pytest.raises(ReaderFailed) as refused:
                read(pool, page)
            failed.append(refused.value.message)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(lambda: taken.files == 2, what="a child that was asked")
        child.send_signal(signal.SIGKILL)
        asking.join(30)
        assert failed
        assert "ended its reader, which died of SIGKILL" in failed[0]
        assert str(page) in failed[0]
        assert read(pool, page) == "fine"
    finally:
        pool.close()


def test_a_child_that_takes_too_long_is_killed(page: Path) -> None:
    pool = Children(step=0.2)
    pipe = page.parent / "slow.txt"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(ReaderFailed, match=r"longer than 0.2 s for one step"):
            read(pool, pipe, "text")
        assert not reader_children()
    finally:
        os.close(writer)
        pool.close()


def test_a_child_that_needs_too_much_memory_is_named(tmp_path: Path) -> None:
    pool = Children(memory=700 * 1024**2)
    large = tmp_path / "large.txt"
    with large.open("wb") as sparse:
        sparse.truncate(800 * 1024**2)
    try:
        with pytest.raises(ReaderFailed, match="too much memory"):
            read(pool, large, "text")
    finally:
        pool.close()


def test_a_child_writes_no_file(pool: Children, page: Path) -> None:
    read(pool, page)
    (child,) = reader_children()
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)


def test_a_child_ends_with_the_daemon(pool: Children, page: Path) -> None:
    read(pool, page)
    (child,) = reader_children()
    taken = pool._idle[0]
    taken._socket.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
