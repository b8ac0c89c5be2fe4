"""Many jobs in one batch of a real model: what they share, what they choose, and what a crash costs them."""

import signal

import pytest

from agentd.api.shapes import ResultShape
from tests.acceptance.conftest import MakeDaemon
from tests.shapes import check_shape
from tests.waiting import wait_for

TASK = """\
---
name: note-tagging
description: What a note is about
output:
  about: {enum: [garden, kitchen, money], decide: score}
  title: {type: string, maxLength: 40}
max_tokens: 60
---
You sort notes. Say what the note is about, and give it a short title in its own words.
"""
NOTES = {
    "pears": "Prune the pear tree in February, before the sap rises, and feed it with compost.",
    "bread": "Knead the dough for ten minutes, let it rest in a warm place and bake it in a hot oven.",
    "rent": "The rent is due on the first of the month; the bank takes two days for a transfer.",
    "leeks": "Sow the leeks under glass in March and plant them out into the bed in June.",
    "soup": "Fry the onions slowly in butter, add the stock and let the soup simmer for an hour.",
    "taxes": "Keep every receipt for the tax return and put the refund into the savings account.",
}


def test_a_batch_of_notes_is_sorted_by_score_and_its_time_is_shared_out(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(model="starter, threads: 1")
    (daemon.home / "tasks").mkdir()
    (daemon.home / "tasks" / "note-tagging.md").write_text(TASK)
    for name, text in NOTES.items():
        daemon.write(f"{name}.md", f"{text}\n")
    daemon.start()
    daemon.wait_done(len(NOTES), 240)
    results = daemon.json("results")
    check_shape(results, list[ResultShape])
    for result in results:
        (likely,) = result["probabilities"].values()
        assert set(likely) == {"garden", "kitchen", "money"}
        assert sum(likely.values()) == pytest.approx(1, abs=1e-5)
        assert result["output"]["about"] == max(likely, key=likely.__getitem__)
        assert 0 < result["engine_seconds"] <= result["seconds"]
    assert sum(result["tokens"]["cached"] > 0 for result in results) >= len(NOTES) - 1
    load = daemon.status()["models"]["main"]["load"]
    shares = sum(result["engine_seconds"] for result in results)
    assert shares <= load["busy_seconds"] + 0.1, "a step is shared out once"
    assert load["prefixes"] == 1
    shown = daemon.agentd("results", "show", str(results[0]["id"])).stdout
    assert f"scored    about: {results[0]['output']['about']} (" in shown
    status = daemon.agentd("status").stdout
    assert "    batch    idle; " in status
    assert "    memory   CPU: weights " in status
    daemon.stop()


def test_a_crash_costs_each_job_of_the_batch_one_try_at_most(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(model="starter, threads: 1")
    daemon.start()
    child = daemon.child
    idle = child.cpu_times().user
    for name, text in NOTES.items():
        daemon.write(f"{name}.md", f"# {name}\n\n{text}\n" + f"{text}\n" * 4)
    wait_for(lambda: daemon.counts().get("running", 0) > 1, what="several jobs in hand")
    wait_for(lambda: child.cpu_times().user > idle + 0.5, what="the child to work on them")
    child.send_signal(signal.SIGSEGV)
    daemon.wait_done(len(NOTES), 240)
    assert daemon.counts() == {"done": len(NOTES)}
    assert daemon.query("SELECT count(*) FROM jobs WHERE crashes > 1 OR attempts > crashes + 1") == [(0,)]
    assert daemon.query("SELECT count(*), count(DISTINCT source) FROM results") == [(len(NOTES), len(NOTES))]
    daemon.stop()
