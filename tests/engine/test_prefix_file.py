"""Saved prefixes: what was written comes back exactly or not at all."""

import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentd.engine.llama.build import build_identity
from agentd.engine.llama.context import LlamaContext, Segment, Shape
from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.prefix_file import SUFFIX, UNFINISHED, Identity, PrefixFolder
from agentd.engine.settings import KvCache, ModelSettings
from agentd.engine.weights import STARTER_SHA256, find_weights

IDENTITY = Identity(model_sha256="ab" * 32, build="1-2", kv_k="q8_0", kv_v="q8_0", cells=1024)
TOKENS = [1, 2, 3, 70_000]
STATE = b"what the cache holds" * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "prefixes"


def saved(folder: Path, tokens: list[int] = TOKENS, state: bytes = STATE) -> Path:
    """The file of a state that was just saved."""
    before = set(folder.glob("*"))
    PrefixFolder(folder, IDENTITY).save(tokens, state)
    (file,) = set(folder.glob("*")) - before
    return file


def test_what_was_saved_comes_back_after_a_restart_for_this_user_alone(folder: Path) -> None:
    file = saved(folder)
    assert PrefixFolder(folder, IDENTITY).load(TOKENS) == STATE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_existing_folder_is_closed_to_others(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    PrefixFolder(folder, IDENTITY)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("tokens", [[], TOKENS[:-1], [*TOKENS, 5], [1, 3, 2, 70_000]])
def test_other_tokens_have_no_state(folder: Path, tokens: list[int]) -> None:
    saved(folder)
    assert PrefixFolder(folder, IDENTITY).load(tokens) is None


OTHERS = [
    replace(IDENTITY, model_sha256="cd" * 32),
    replace(IDENTITY, build="1-3"),
    replace(IDENTITY, kv_k="f16"),
    replace(IDENTITY, kv_v="f16"),
    replace(IDENTITY, cells=2048),
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_identity_has_no_state_not_even_under_its_own_name(
    folder: Path, other: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(folder)
    theirs = PrefixFolder(folder, other)
    assert theirs.load(TOKENS) is None
    assert not caplog.records, "a file that is not there is nothing to speak of"
    theirs.save(TOKENS, b"theirs")
    (name,) = {found.name for found in folder.iterdir()} - {file.name}
    file.replace(folder / name)
    assert theirs.load(TOKENS) is None
    assert "made for another model" in caplog.text


def test_an_empty_state_is_a_state(folder: Path) -> None:
    prefixes = PrefixFolder(folder, IDENTITY)
    prefixes.save(TOKENS, b"")
    assert prefixes.load(TOKENS) == b""


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def _linked(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _of_other_tokens(file: Path) -> None:
    saved(file.parent, [9, 9]).replace(file)


DAMAGES = [_empty, _longer, _linked, _a_folder, _a_pipe, _of_other_tokens]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_told_once_and_overwritten(
    folder: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(folder)
    damage(file)
    prefixes = PrefixFolder(folder, IDENTITY)
    assert prefixes.load(TOKENS) is None
    assert prefixes.load(TOKENS) is None
    (told,) = caplog.records
    assert str(file) in told.getMessage()
    prefixes.save(TOKENS, STATE)
    assert prefixes.load(TOKENS) == STATE
    assert stat.S_ISREG(file.lstat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told_and_overwritten(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(folder).chmod(0)
    prefixes = PrefixFolder(folder, IDENTITY)
    assert prefixes.load(TOKENS) is None
    assert "Permission denied" in caplog.text
    prefixes.save(TOKENS, STATE)
    assert prefixes.load(TOKENS) == STATE


def test_a_folder_with_something_in_it_is_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = saved(folder)
    _a_folder(file)
    (file / "theirs").touch()
    prefixes = PrefixFolder(folder, IDENTITY)
    prefixes.save(TOKENS, STATE)
    assert (file / "theirs").exists()
    assert "cannot be saved" in caplog.text
    assert not list(folder.glob(f"*{UNFINISHED}"))


def test_every_single_flipped_byte_is_refused(folder: Path) -> None:
    file = saved(folder)
    good = file.read_bytes()
    prefixes = PrefixFolder(folder, IDENTITY)
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
        assert prefixes.load(TOKENS) is None, place
    file.write_bytes(good)
    assert prefixes.load(TOKENS) == STATE


# The folder is written anew for every example.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_handed_out(folder: Path, data: st.DataObject) -> None:
    file = next(iter(folder.glob("*")), None) or saved(folder)
    prefixes = PrefixFolder(folder, IDENTITY)
    prefixes.save(TOKENS, STATE)
    good = file.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    bad = good[:start] + data.draw(st.binary(max_size=80)) + good[end:]
    file.write_bytes(bad)
    assert prefixes.load(TOKENS) == (STATE if bad == good else None)


def used_in_order(folder: Path, prefixes: PrefixFolder, count: int) -> list[Path]:
    """The files of `count` saved states of 100 bytes, the first the longest unused."""
    files: list[Path] = []
    for number in range(count):
        prefixes.save([number], bytes(100))
        (file,) = set(folder.glob("*")) - set(files)
        os.utime(file, ns=(number, number))
        files.append(file)
    return files


def test_too_many_files_make_the_least_recently_used_go(folder: Path) -> None:
    prefixes = PrefixFolder(folder, IDENTITY, max_files=3)
    first, second, third = used_in_order(folder, prefixes, 3)
    assert prefixes.load([0]) is not None, "used now"
    prefixes.save([3], bytes(100))
    left = set(folder.glob("*"))
    assert {first, third} < left
    assert second not in left


def test_the_files_together_keep_within_their_bytes(folder: Path) -> None:
    (one,) = used_in_order(folder, PrefixFolder(folder, IDENTITY), 1)
    limit = 3 * one.stat().st_size + 50
    prefixes = PrefixFolder(folder, IDENTITY, max_bytes=limit)
    for number in range(6):
        prefixes.save([number], bytes(100))
        assert sum(file.stat().st_size for file in folder.iterdir()) <= limit
    assert prefixes.load([5]) is not None
    assert sum(prefixes.load([number]) is not None for number in range(6)) == 3


def test_saving_again_needs_no_more_room(folder: Path) -> None:
    prefixes = PrefixFolder(folder, IDENTITY, max_files=2)
    used_in_order(folder, prefixes, 2)
    prefixes.save([1], bytes(101))
    assert (prefixes.load([0]), prefixes.load([1])) == (bytes(100), bytes(101))


def test_a_state_larger_than_all_the_room_takes_nobodys(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    prefixes = PrefixFolder(folder, IDENTITY, max_bytes=1000)
    prefixes.save([1], b"small")
    prefixes.save([2], bytes(1000))
    assert (prefixes.load([1]), prefixes.load([2])) == (b"small", None)
    assert "is not saved" in caplog.text


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of one MiB at `folder`."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_once_and_what_is_there_stays(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(folder):
        prefixes = PrefixFolder(folder, IDENTITY)
        prefixes.save([1], b"small")
        for _ in range(3):
            prefixes.save([2], bytes(2 * 1024**2))
        (told,) = caplog.records
        assert "No space left" in told.getMessage()
        assert (prefixes.load([1]), prefixes.load([2])) == (b"small", None)
        assert len(list(folder.iterdir())) == 1, "the unfinished file is gone"


def test_a_folder_that_cannot_be_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    prefixes = PrefixFolder(tmp_path / "file" / "prefixes", IDENTITY)
    prefixes.save(TOKENS, STATE)
    assert prefixes.load(TOKENS) is None
    assert len(caplog.records) == 1


WRITER = """
import sys
from pathlib import Path
from agentd.engine.prefix_file import Identity, PrefixFolder

prefixes = PrefixFolder(Path(sys.argv[1]), Identity("ab" * 32, "1-2", "q8_0", "q8_0", 1024))
while True:
    for tokens, byte in (([1], b"a"), ([2], b"b")):
        prefixes.save(tokens, byte * 3_000_000)
        print("saved", flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_states_or_none(folder: Path) -> None:
    rng = random.Random(3)
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 5)):
                assert writer.stdout.readline() == b"saved\n"
            # It is somewhere in the next save.
            for _ in range(rng.randrange(20_000)):
                pass
            writer.kill()
        prefixes = PrefixFolder(folder, IDENTITY)
        assert prefixes.load([1]) == b"a" * 3_000_000, "it was saved before, and its successor whole or not at all"
        assert prefixes.load([2]) in (None, b"b" * 3_000_000)
        assert not list(folder.glob(f"*{UNFINISHED}"))


def test_the_unfinished_file_of_a_writer_that_lives_stays(folder: Path) -> None:
    saved(folder)
    held = folder / f"held{UNFINISHED}"
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, held]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        PrefixFolder(folder, IDENTITY)
        assert held.exists()
        writer.kill()
    PrefixFolder(folder, IDENTITY)
    assert not held.exists()


PROMPT = "The daemon keeps what it has read once, so that the next question about it is answered sooner. " * 3


@contextmanager
def opened(model: LlamaModel, tail: LogTail) -> Iterator[LlamaContext]:
    shape = Shape(cells=512, sequences=2, batch=256, kv_cache=KvCache(k="q8_0", v="q8_0"), threads=1)
    context = LlamaContext(model, shape, tail)
    try:
        yield context
    finally:
        context.close()


def test_a_restored_prefix_predicts_what_the_computed_one_does(folder: Path) -> None:
    tail = LogTail()
    model = LlamaModel(find_weights(ModelSettings()), tail)
    tokens = model.tokenize(PROMPT, special=False)
    identity = Identity(STARTER_SHA256, build_identity(), "q8_0", "q8_0", cells=512)
    following = Segment(0, len(tokens), model.tokenize(" Then", special=False), outputs=1)
    with opened(model, tail) as context:
        context.decode([Segment(0, 0, tokens, outputs=0)])
        PrefixFolder(folder, identity).save(tokens, context.save(0))
        expected = context.decode([following]).copy()
    with opened(model, tail) as context:
        state = PrefixFolder(folder, identity).load(tokens)
        assert state is not None
        assert context.restore(0, state)
        assert np.array_equal(context.decode([following]), expected)
    (file,) = folder.glob(f"*{SUFFIX}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert PrefixFolder(folder, identity).load(tokens) is None
    model.close()


def test_the_build_is_the_same_in_every_process() -> None:
    code = "from agentd.engine.llama.build import build_identity; print(build_identity())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == build_identity()
