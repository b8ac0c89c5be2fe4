"""What the documentation shows is true: configs that load, tasks that are whole, commands that exist."""

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from agentd.cli.main import cli
from agentd.config import read_yaml, validate
from agentd.daemon.settings import Config, load_config
from agentd.tasks.definition import read_task
from agentd.tasks.library import shipped_tasks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TAGS = {"tags": {"python": ""}}


def blocks(kind: str) -> list[tuple[str, str]]:
    """Every fenced block of a kind, with the page it stands on."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        texts = re.findall(rf"^```{kind}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        found += [(page.name, text) for text in texts]
    return found


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_every_yaml_block_is_a_config_that_loads(page: str, text: str) -> None:
    assert validate(read_yaml(text, Path(page)), Config)


@pytest.mark.parametrize(("page", "text"), blocks("markdown"))
def test_every_task_that_is_shown_is_whole(page: str, text: str) -> None:
    name = re.search(r"^name: (.+)$", text, re.MULTILINE)
    assert name is not None
    assert read_task(text, Path(f"{name[1]}.md"), TAGS).instructions


@pytest.mark.parametrize(("page", "text"), blocks("sh"))
def test_every_command_that_is_shown_exists(page: str, text: str) -> None:
    for line in text.splitlines():
        for words in re.findall(r"\bagentd ([a-z][^|#]*)", line):
            command: click.Command = cli
            for word in shlex.split(words):
                if not isinstance(command, click.Group) or word.startswith("-"):
                    break
                _, found, _ = command.resolve_command(click.Context(command), [word])  # raises for an unknown one
                assert found is not None, f"{page}: agentd {words}"
                command = found


def test_the_example_config_says_every_default_and_changes_only_what_it_shows() -> None:
    shown = load_config(ROOT / "config.example.yaml")
    assert shown.models == Config().models
    (watch,) = shown.watch
    bare = validate(read_yaml("watch: [{path: ~/Notes, task: note-tagging}]", Path("bare")), Config)
    assert watch == bare.watch[0]


def test_the_example_config_names_every_key() -> None:
    text = (ROOT / "config.example.yaml").read_text("utf-8")
    schema = json.loads((ROOT / "config.schema.json").read_text("utf-8"))
    keys = set(schema["properties"])
    for section in schema["$defs"].values():
        keys |= set(section.get("properties", {}))
    missing = [key for key in keys if not re.search(rf"(^|[\s{{,-]){key}:", text)]
    assert not missing


def test_every_shipped_task_is_usable_with_the_example_config() -> None:
    vocabularies = load_config(ROOT / "config.example.yaml").vocabularies
    for file in shipped_tasks().glob("*.md"):
        assert read_task(file.read_text("utf-8"), file, vocabularies).schema
