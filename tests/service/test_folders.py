"""What a config needs, from the config."""

import dataclasses
from pathlib import Path

import pytest

from agentd.config import read_yaml, validate
from agentd.daemon.settings import Config
from agentd.paths import Paths, find_paths
from agentd.service.folders import Needs, hideable, needs
from agentd.service.installation import Service


def of(text: str, paths: Paths | None = None, *, edits: bool = True) -> Needs:
    config = validate(read_yaml(text, Path("config.yaml")), Config)
    return needs(config, paths or find_paths(), lambda _: edits)


def test_a_watched_folder_is_written_to_only_where_its_task_edits(tmp_path: Path) -> None:
    text = f"watch: [{{path: {tmp_path}/notes, task: any}}]"
    assert tmp_path / "notes" in of(text).writable
    needed = of(text, edits=False)
    assert tmp_path / "notes" not in needed.writable
    assert tmp_path / "notes" in needed.readable


def test_targets_are_written_to_and_logs_are_read(tmp_path: Path) -> None:
    needed = of(f"actions: {{targets: {{a: {tmp_path}/out}}}}\nlogs: [{{path: '{tmp_path}/apps/*/log/*.log'}}]")
    assert tmp_path / "out" in needed.writable
    assert tmp_path / "apps" in needed.readable, "what a glob can stand for lies below it"


def test_a_folder_that_a_schedule_reads_is_readable(tmp_path: Path) -> None:
    needed = of(f"schedule: [{{task: summarise, every: 1d, input: {{folder: {tmp_path}/inbox}}}}]")
    assert tmp_path / "inbox" in needed.readable
    assert tmp_path / "inbox" not in needed.writable


def test_a_folder_inside_another_is_named_once(tmp_path: Path) -> None:
    text = f"watch: [{{path: {tmp_path}/n, task: a}}, {{path: {tmp_path}/n/inner, task: b}}]"
    assert [path for path in of(text).writable if path.is_relative_to(tmp_path / "n")] == [tmp_path / "n"]


def test_a_folder_is_named_as_it_really_lies(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert tmp_path / "real" in of(f"watch: [{{path: {tmp_path}/link, task: a}}]").writable


def test_the_folder_of_the_config_is_only_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = dataclasses.replace(find_paths(), config=tmp_path / "config" / "config.yaml")
    assert tmp_path / "config" in of("{}", paths).readable


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("{}", False),
        ("watch: [{path: /srv/n, task: a}]", False),
        ("actions: {webhooks: {a: {url: 'https://example.org/'}}}", True),
        ("actions: {commands: {a: {run: [/bin/true]}}}", True),
        ("when: {backfill: {network: true}}", True),
        ("watch: [{path: /srv/n, task: a, when: {network: true}}]", True),
        ("watch: [{path: /srv/n, task: a, when: {on_ac: true}}]", False),
    ],
)
def test_only_what_speaks_to_others_needs_a_network(text: str, network: bool) -> None:
    assert of(text).network == network


@pytest.mark.parametrize(
    ("model", "gpu"), [("path: fake", False), ("path: starter", True), ("path: starter, gpu_layers: 0", False)]
)
def test_a_gpu_is_needed_by_a_model_that_may_put_layers_on_it(model: str, gpu: bool) -> None:
    assert of(f"models: {{main: {{{model}}}}}").gpu == gpu


def test_a_gpu_is_needed_by_a_condition_that_asks_it() -> None:
    assert not of("models: {main: {path: fake}}").gpu
    needed = of("models: {main: {path: fake}}\nwhen: {backfill: {gpu_free: true}}")
    assert (needed.gpu, needed.gpu_asked) == (True, True)


def test_the_journal_is_needed_where_it_is_followed() -> None:
    assert of("logs: [{journald: {}}]").journal
    assert not of("logs: [{path: /srv/a.log}]").journal


def test_commands_keep_the_keys_of_the_user(tmp_path: Path) -> None:
    assert ".ssh" in hideable(tmp_path, of("{}"))
    assert hideable(tmp_path, of("actions: {commands: {a: {run: [/bin/true]}}}")) == ()


def test_the_shipped_tasks_tell_which_of_them_edit(paths: Paths, tmp_path: Path) -> None:
    paths.config.write_text(
        f"""\
watch:
  - {{path: {tmp_path}/tagged, task: note-tagging}}
  - {{path: {tmp_path}/read, task: summarise}}
  - {{path: {tmp_path}/unknown, task: not-there-yet}}
vocabularies: {{tags: [python]}}
"""
    )
    needed = Service().needed
    assert {tmp_path / "tagged", tmp_path / "unknown"} <= set(needed.writable)
    assert tmp_path / "read" not in needed.writable
