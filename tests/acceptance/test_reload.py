"""A daemon takes another config while it works; nothing that it has begun is lost."""

import json
import os
import signal
import socket
import threading
from pathlib import Path

from tests.acceptance.conftest import MakeDaemon
from tests.acceptance.daemon import CONFIG, Daemon, has_ended
from tests.waiting import wait_for

OWN_TASK = """\
---
name: shout
description: Say it loud
model: {model}
reads: [markdown, text]
output:
  loud: {{type: string, maxLength: 40}}
---
Say it loud.
"""


def configure(daemon: Daemon, text: str) -> None:
    (daemon.home / "config.yaml").write_text(text)


def both_folders(daemon: Daemon, other: Path) -> str:
    return CONFIG.format(folder=daemon.folder, model="fake").replace(
        "vocabularies:", f'  - {{path: "{other}", task: shout, settle: 100ms}}\nvocabularies:'
    )


def test_a_folder_and_a_task_that_come_with_a_reload_are_worked_on_and_go_with_another(
    daemon: Daemon, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.md").write_text("# One\n\nPears.\n")
    (daemon.home / "tasks" / "shout.md").write_text(OWN_TASK.format(model="main"))
    child = daemon.child.pid
    configure(daemon, both_folders(daemon, other))
    done = daemon.agentd("reload")
    assert (done.returncode, done.stderr) == (0, "agentd has read its config again: watch changed\n")
    daemon.wait_done(1)
    assert daemon.query("SELECT task, source FROM results") == [("shout", str(other / "one.md"))]
    assert daemon.child.pid == child, "the model has not changed and is not loaded anew"

    configure(daemon, CONFIG.format(folder=daemon.folder, model="fake"))
    assert daemon.agentd("reload").returncode == 0
    (other / "two.md").write_text("# Two\n\nNobody watches.\n")
    daemon.write("after.md")
    daemon.wait_done(2)
    assert daemon.counts() == {"done": 2}
    assert [watch["path"] for watch in daemon.status()["watches"]] == [str(daemon.folder)]
    assert daemon.agentd("reload").stderr == "agentd has read its config again: nothing in it has changed\n"


def test_a_broken_config_is_named_with_its_line_and_changes_nothing(daemon: Daemon) -> None:
    good = (daemon.home / "config.yaml").read_text()
    configure(daemon, good + "wotch: []\n")
    done = daemon.agentd("reload")
    assert done.returncode == 4
    assert f"{daemon.home / 'config.yaml'}:7: unknown key `wotch`" in done.stderr
    assert done.stderr.endswith("next:  agentd config check\n")
    daemon.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    wait_for(lambda: "the config stays as it was" in daemon.log, what="the refusal in the log")
    daemon.write("still.md")
    daemon.wait_done(1)
    assert not any(duty["restarts"] for duty in daemon.status()["duties"].values())


def test_another_model_takes_over_and_the_jobs_in_hand_are_done_by_it_once(daemon: Daemon) -> None:
    hands, child = daemon.fill_hands(), daemon.child
    configure(daemon, CONFIG.format(folder=daemon.folder, model="fake, context: 2048"))
    assert daemon.agentd("reload").stderr == "agentd has read its config again: models changed\n"
    daemon.wait_done(hands)
    daemon.check_once_each(hands)
    assert has_ended(child)
    assert daemon.status()["models"]["main"]["context"] == 2048


def test_jobs_of_a_model_that_is_gone_are_done_by_the_one_that_is_left(make_daemon: MakeDaemon) -> None:
    config = CONFIG.replace("note-tagging, settle", "shout, settle").replace(
        "main: {{path: {model}}}", "main: {{path: fake}}\n  second: {{path: fake}}"
    )
    daemon = make_daemon()
    configure(daemon, config.format(folder=daemon.folder))
    (daemon.home / "tasks").mkdir()
    task = daemon.home / "tasks" / "shout.md"
    task.write_text(OWN_TASK.format(model="second"))
    daemon.start()
    second = daemon.status()["models"]["second"]["child_pid"]
    os.kill(second, signal.SIGSTOP)
    daemon.write("waiting.md")
    wait_for(lambda: daemon.counts().get("running") == 1, what="a job in hand")
    task.write_text(OWN_TASK.format(model="main"))
    configure(daemon, config.format(folder=daemon.folder).replace("  second: {path: fake}\n", ""))
    assert daemon.agentd("reload").returncode == 0
    daemon.wait_done(1)
    daemon.check_once_each(1)
    assert list(daemon.status()["models"]) == ["main"]


def test_logs_that_come_with_a_reload_are_followed(daemon: Daemon, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("")
    configure(
        daemon,
        CONFIG.format(folder=daemon.folder, model="fake") + f'logs:\n  - {{path: "{log}", start: beginning}}\n',
    )
    assert daemon.agentd("reload").returncode == 0
    with log.open("a") as file:
        file.write("2026-05-04 03:02:01 INFO started\n" * 3)
    wait_for(lambda: [one["lines"] for one in daemon.status()["logs"]] == [3], what="three lines read")
    configure(daemon, CONFIG.format(folder=daemon.folder, model="fake"))
    assert daemon.agentd("reload").returncode == 0
    assert daemon.status()["logs"] == []
    assert "follow logs" not in daemon.status()["duties"]


def test_without_a_daemon_there_is_nothing_to_reload(make_daemon: MakeDaemon) -> None:
    done = make_daemon().agentd("reload")
    assert done.returncode == 3


def test_a_service_manager_is_told_of_the_start_of_reloads_and_of_the_end(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    address, heard = str(tmp_path / "notify.sock"), list[str]()

    def listen() -> None:
        while heard[-1:] != ["end"]:
            heard.append(sock.recv(65536).decode())

    def until(wanted: str) -> None:
        wait_for(lambda: any(wanted in said for said in heard), what=wanted)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        listening = threading.Thread(target=listen)
        listening.start()
        daemon = make_daemon()
        daemon.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}
        daemon.start()
        until("READY=1")
        assert any("STATUS=starting: " in said for said in heard)
        until("STATUS=ready; nothing to do")
        until("WATCHDOG=1")
        heard.clear()
        daemon.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        until("RELOADING=1\nMONOTONIC_USEC=")
        until("READY=1")
        daemon.kill(signal.SIGTERM)
        until("STOPPING=1")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", address)
        listening.join(30)


def test_the_log_of_a_real_daemon_is_json_where_that_is_asked_for(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    daemon.options = ("--log-format", "json")
    daemon.start()
    daemon.stop()
    told = [json.loads(line) for line in daemon.log.splitlines()]
    assert "agentd has stopped" in [line["message"] for line in told]
