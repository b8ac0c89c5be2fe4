"""`agentd init`, `agentd config` and `agentd completion`."""

import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from agentd.daemon.settings import Config
from agentd.paths import Paths
from tests.cli.conftest import Cli


def test_init_writes_a_config_that_checks_and_refuses_to_overwrite_it(cli: Cli, paths: Paths) -> None:
    made = cli("init")
    assert (made.code, made.out) == (0, f"Wrote {paths.config}\n")
    assert "agentd start --detach" in made.err
    assert cli("config", "check").out == f"ok      {paths.config}\n"
    paths.config.write_text("models: {main: {path: fake}}\n")
    again = cli("init")
    assert again.code == 1
    assert again.err == (
        f"error: {paths.config} is there already\nnext:  agentd config show, or agentd init --force\n"
    )
    assert paths.config.read_text() == "models: {main: {path: fake}}\n"
    assert cli("init", "--force").code == 0
    assert "Folders to watch" in paths.config.read_text()


def test_config_check_names_a_watch_whose_task_is_not_there(cli: Cli, paths: Paths) -> None:
    paths.config.write_text("watch:\n  - path: /notes\n    task: sumarise\n")
    ran = cli("config", "check")
    assert ran.code == 4
    assert f"{paths.config}:3: there is no task `sumarise`: did you mean `summarise`?" in ran.err


def test_config_check_warns_of_a_key_by_its_old_name(
    cli: Cli, fake: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "renamed", {"words": "vocabularies"})
    fake.config.write_text("models: {main: {path: fake}}\nwords: {tags: [python]}\n")
    ran = cli("config", "check")
    assert (ran.code, ran.out) == (0, f"ok      {fake.config}\n")
    assert ran.err == f"warning: {fake.config}:2: `words` is called `vocabularies` now\n"
    assert cli("config", "show", "--json").json["vocabularies"] == {"tags": {"python": ""}}


def test_what_agentd_writes_is_for_its_user_alone(cli: Cli, fake: Paths, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nText.\n")
    assert cli("run", "note-tagging", tmp_path / "a.md").code == 0
    assert fake.database.stat().st_mode & 0o077 == 0


def test_options_before_a_subcommand_are_not_dropped(cli: Cli, fake: Paths) -> None:
    assert cli("jobs", "--json").json == []
    assert {task["name"] for task in cli("tasks", "--json").json} >= {"note-tagging", "summarise"}
    ran = cli("results", "--task", "x", "list")
    assert ran.code == 2
    assert "--task goes after `list`" in ran.err


def test_config_path_tells_where_it_is_or_would_be(cli: Cli, paths: Paths) -> None:
    assert cli("config", "path").out == f"{paths.config}\n"


def test_config_check_without_a_config_points_to_init(cli: Cli, paths: Paths) -> None:
    ran = cli("config", "check")
    assert ran.code == 1
    assert ran.err.endswith("\nnext:  agentd init\n")


def test_config_show_gives_every_default_and_can_be_read_back(cli: Cli, fake: Paths) -> None:
    as_json = cli("config", "show", "--json").json
    assert as_json == yaml.safe_load(cli("config", "show").out)
    assert as_json["models"]["main"]["kv_cache"] == {"k": "auto", "v": "auto"}
    fake.config.write_text(cli("config", "show").out)
    assert cli("config", "show", "--json").json == as_json


def test_the_schema_takes_the_example_and_refuses_a_mistyped_key(cli: Cli, paths: Paths) -> None:
    schema = cli("config", "schema").json
    cli("init")
    example = yaml.safe_load(paths.config.read_text())
    jsonschema.validate(example, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example | {"wotch": []}, schema)


@pytest.mark.parametrize("command", ["config check", "status", "jobs", "tasks", "start", "start --detach"])
def test_a_broken_config_exits_with_4_and_names_file_and_line(cli: Cli, paths: Paths, command: str) -> None:
    paths.config.write_text("models:\n  main: {path: fake}\nwotch: []\n")
    ran = cli(*command.split())
    assert ran.code == 4
    assert ran.err == (
        f"error: {paths.config}:3: unknown key `wotch`: did you mean `watch`?\nnext:  agentd config check\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(cli: Cli, shell: str) -> None:
    ran = cli("completion", shell)
    assert ran.code == 0
    assert "_AGENTD_COMPLETE" in ran.out
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=ran.out, text=True).returncode == 0
