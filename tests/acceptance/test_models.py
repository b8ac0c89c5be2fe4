"""Models that come and go while the daemon runs: idle ones, unloaded ones, one whose file is replaced."""

import shutil
from pathlib import Path

import pytest

from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon
from tests.waiting import wait_for


def model_of(daemon: Daemon) -> dict[str, object]:
    shape: dict[str, object] = daemon.status()["models"]["main"]
    return shape


def test_an_idle_model_goes_and_the_next_file_brings_it_back(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    config = CONFIG.format(folder=tmp_path / "notes", model="fake, keep_alive: 1s")
    daemon = make_daemon(config)
    daemon.start()
    wait_for(lambda: model_of(daemon)["child_pid"] is None, what="the end of an idle child")
    assert daemon.status()["ready"]
    daemon.write("note.md")
    daemon.wait_done(1)
    daemon.check_once_each(1)
    assert model_of(daemon)["restarts"] == 0
    daemon.stop()


def test_jobs_wait_for_a_model_that_was_unloaded_until_somebody_loads_it(daemon: Daemon) -> None:
    done = daemon.agentd("model", "unload")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "main is unloaded, and its jobs wait: agentd model load main\n"
    daemon.write("note.md")
    wait_for(lambda: daemon.counts() == {"queued": 1})
    assert "its jobs wait: agentd model load main" in daemon.agentd("status").stdout
    listed = daemon.json("model", "list")["main"]
    assert (listed["state"], listed["held"], listed["child_pid"]) == ("unloaded", True, None)
    loaded = daemon.agentd("model", "load")
    assert loaded.stdout.startswith("main: scripted placeholder values, no model, context 8,192, ")
    daemon.wait_done(1)
    daemon.check_once_each(1)
    assert "died of" not in daemon.log
    daemon.stop()


@pytest.mark.parametrize("words", [["run", "note-tagging"], ["run", "note-tagging", "--dry-run"], ["ask"]])
def test_a_person_brings_an_unloaded_model_back_by_asking(daemon: Daemon, words: list[str]) -> None:
    note = daemon.write("pears.md", "# Pears\n\nPrune the pear tree in February.\n")
    daemon.wait_done(1)
    daemon.agentd("model", "unload", "main")
    given = "when is the pear tree pruned?" if words == ["ask"] else str(note)
    assert daemon.agentd(*words, given).returncode == 0
    assert model_of(daemon)["state"] == "loaded"
    daemon.stop()


def test_a_model_that_is_not_in_the_config_is_refused_with_those_that_are(daemon: Daemon) -> None:
    refused = daemon.agentd("model", "load", "huge")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith(
        "error: there is no model `huge`: the config has main\nnext:  agentd model list\n"
    )
    daemon.stop()


def test_a_model_that_is_replaced_on_disk_is_loaded_and_no_job_is_lost(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    file = tmp_path / "mine.gguf"
    shutil.copy(find_weights(ModelSettings()), file)
    daemon = make_daemon(model=f"{file}, threads: 1, context: 2048")
    daemon.start()
    old = model_of(daemon)["child_pid"]
    for index in range(4):
        daemon.write(f"note-{index}.md")
    wait_for(lambda: daemon.counts().get("running", 0), what="a job in hand")
    shutil.copy(file, tmp_path / "part")
    (tmp_path / "part").rename(file)
    daemon.wait_done(4)
    wait_for(lambda: model_of(daemon)["child_pid"] not in (old, None), 60, "a child with the new file")
    daemon.check_once_each(4)
    assert model_of(daemon)["restarts"] == 0
    assert daemon.log.count("its file was replaced") == 1
    daemon.stop()
