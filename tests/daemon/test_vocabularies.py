"""Vocabularies from the config, a file, a folder and a person."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentd.daemon import vault as daemon_vault
from agentd.daemon.agent import Agent, open_agent
from agentd.daemon.settings import load_config
from agentd.daemon.vocabularies import Vocabularies
from agentd.errors import BrokenTask, ConfigError
from agentd.paths import Paths
from agentd.store import vocabulary
from agentd.store.database import Store
from tests.making import NOW


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(daemon_vault, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(daemon_vault, "PAUSE_FACTOR", 0)
    opened = Store(tmp_path / "agentd.db")
    yield opened
    opened.close()


async def test_words_come_from_a_file_as_list_or_with_meanings(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "tags.yaml"
    file.write_text("- garden\n- dev/python\n")
    made = Vocabularies({"tags": file}, store)
    assert await made.refresh()
    assert made.words == {"tags": {"garden": "", "dev/python": ""}}
    assert not await made.refresh()
    file.write_text("garden: plants\n")
    assert await made.refresh()
    assert made.words == {"tags": {"garden": "plants"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- Garden\n", r"tags.yaml:1: vocabulary tags: 'Garden' is not a tag"),
        ("just words\n", "a vocabulary is a list of words"),
        ("[", "tags.yaml:1"),
        ("\n".join(f"- t{n}" for n in range(401)), "at most 400 words, this has 401"),
    ],
)
async def test_a_broken_file_is_named(store: Store, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tags.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        await Vocabularies({"tags": tmp_path / "tags.yaml"}, store).refresh()


async def test_a_missing_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"vocabulary tags: there is no file or folder .*none\.yaml"):
        await Vocabularies({"tags": tmp_path / "none.yaml"}, store).refresh()


async def test_words_are_collected_from_the_notes_of_a_folder(store: Store, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number, tags in enumerate(("garden", "garden, kitchen", "kitchen, garden, Über Tag")):
        (notes / f"{number}.md").write_text(f"---\ntags: [{tags}]\n---\nText {number}\n")
    made = Vocabularies({"tags": notes}, store)
    await made.refresh()
    assert list(made.words["tags"]) == ["garden", "kitchen"]
    (notes / "3.md").write_text("About #home.\n")
    assert await made.refresh()
    assert list(made.words["tags"]) == ["garden", "kitchen", "home"]


async def test_accepted_words_belong_to_it_and_tasks_choose_from_them(paths: Paths) -> None:
    paths.config.write_text("models: {main: {path: fake}}\nvocabularies: {tags: [garden]}\n")
    async with open_agent(paths) as agent:
        before = agent.bind("note-tagging")
        assert choices(agent) == ["garden"]
        await agent.store.write(vocabulary.decide, "tags", ["home"], "house", NOW, accept=True)
        await agent.load_vocabularies()
        assert choices(agent) == ["garden", "home"]
        assert agent.task("note-tagging").hints["home"] == "house"
        # What was chosen from other words is stale.
        assert agent.bind("note-tagging") != before


def choices(agent: Agent) -> list[str]:
    found: list[str] = agent.task("note-tagging").schema["properties"]["tags"]["items"]["enum"]
    return found


async def test_a_folder_without_a_tag_leaves_its_tasks_broken_with_the_reason(
    paths: Paths, tmp_path: Path
) -> None:
    paths.config.write_text(f"models: {{main: {{path: fake}}}}\nvocabularies: {{tags: '{tmp_path}'}}\n")
    async with open_agent(paths) as agent:
        with pytest.raises(BrokenTask, match="the vocabulary `tags` has no words yet"):
            agent.task("note-tagging")


def test_a_path_and_words_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("vocabularies: {a: /x/tags.yaml, b: {file: a file}, c: [x]}\n")
    assert load_config(file).vocabularies == {"a": Path("/x/tags.yaml"), "b": {"file": "a file"}, "c": {"x": ""}}
