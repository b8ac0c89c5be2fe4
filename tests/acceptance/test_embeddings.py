"""A daemon with a model for embeddings: notes are compared by meaning, and nothing depends on it."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon
from tests.waiting import wait_for


def start(make_daemon: MakeDaemon, tmp_path: Path, path: str = "fake") -> Daemon:
    embedder = f"fake}}\n  notes: {{path: {path}, use: embeddings"
    daemon = make_daemon(CONFIG.format(folder=tmp_path / "notes", model=embedder))
    for number in range(3):
        daemon.write(f"g{number}.md", f"---\ntags: [garden]\n---\nSow peas and beans in rows {number}.\n")
        daemon.write(f"k{number}.md", f"---\ntags: [kitchen]\n---\nKnead the dough for bread {number}.\n")
    daemon.start()
    return daemon


def embedder_of(daemon: Daemon) -> Any:
    return daemon.status()["models"]["notes"]


def why(daemon: Daemon, name: str) -> Any:
    wait_for(lambda: daemon.query("SELECT 1 FROM results WHERE source LIKE ?", [f"%/{name}"]), 60, "the result")
    found = {result["source"]: result["why"] for result in daemon.json("results", "list")}
    return found[str(daemon.folder / name)]["tags"]


def test_a_new_note_is_compared_with_the_tagged_ones_and_says_so(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = start(make_daemon, tmp_path)
    wait_for(lambda: daemon.query("SELECT count(*) FROM vectors") == [(6,)], 60, "six vectors")
    daemon.write("new.md", "Sow beans in rows.\n")
    told = {one["value"]: one for one in why(daemon, "new.md")}
    near = told["garden"]["embeddings"]
    assert near["nats"] > 0 > told["kitchen"]["embeddings"]["nats"]
    assert (near["compared"], len(near["similar"])) == (6, 3)
    shown = daemon.agentd("status").stdout
    assert "notes    vectors of counted words, no model, embeddings of 64 numbers, 8,192 tokens at a time" in shown
    listed = daemon.json("model", "list")
    assert (listed["notes"]["use"], listed["notes"]["vector"], listed["main"]["vector"]) == (
        "embeddings",
        64,
        None,
    )
    tuned = daemon.agentd("model", "tune", "notes")
    assert tuned.returncode == 1
    assert "model notes is for embeddings: it runs one way only, and there is nothing to measure" in tuned.stderr
    done = daemon.agentd("model", "unload", "notes")
    assert done.stderr == "notes is unloaded, and notes are tagged without it: agentd model load notes\n"
    daemon.write("later.md", "Sow more beans.\n")
    assert "embeddings" not in why(daemon, "later.md")[0]
    daemon.stop()


def test_a_model_that_dies_comes_back_and_one_that_is_missing_stops_nothing(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    daemon = start(make_daemon, tmp_path)
    old = wait_for(lambda: embedder_of(daemon)["child_pid"], 60, "its child")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: embedder_of(daemon)["child_pid"] not in (None, old) and embedder_of(daemon)["loaded"], 60)
    daemon.stop()
    config = daemon.home / "config.yaml"
    config.write_text(config.read_text().replace("{path: fake, use", "{path: /none.gguf, use"))
    daemon.start()
    daemon.write("new.md", "Sow beans in rows.\n")
    assert "embeddings" not in why(daemon, "new.md")[0]
    assert daemon.status()["ready"]
    assert "cannot open the model /none.gguf" in daemon.agentd("status").stdout
    daemon.stop()
