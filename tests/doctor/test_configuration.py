from pathlib import Path

import pytest

from agentd.daemon.settings import Config
from agentd.doctor.configuration import check_config, check_tasks, check_vocabularies
from tests.doctor.conftest import FAKE, FindHome, levels, told


def test_a_config_that_is_right_is_told_by_what_it_has(find: FindHome, tmp_path: Path) -> None:
    home = find(f"{FAKE}watch: [{{path: {tmp_path}, task: summarise}}]\n")
    assert told(check_config(home)) == {
        "config": ("ok", f"{home.paths.config}: 1 model, 1 folder, 0 logs, 0 schedules", ""),
    }


def test_every_mistake_in_the_config_is_an_error_with_its_line(find: FindHome) -> None:
    home = find("wotch: []\nmodels: {main: {context: x}}\n")
    found = list(check_config(home))
    assert [one.level for one in found] == ["error", "error"]
    assert any(one.told.startswith(f"{home.paths.config}:1: unknown key `wotch`") for one in found)
    assert {one.hint for one in found} == {f"$EDITOR {home.paths.config}"}


def test_no_config_points_to_init_and_one_without_work_says_so(find: FindHome) -> None:
    assert told(check_config(find(None)))["config"][::2] == ("warning", "agentd init")
    level, words, _ = told(check_config(find()))["config"]
    assert (level, "nothing is watched" in words) == ("warning", True)


def test_a_key_by_its_old_name_is_a_warning(find: FindHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "renamed", {"words": "vocabularies"})
    home = find(f"{FAKE}words: {{tags: [a]}}\n")
    warnings = [one.told for one in check_config(home) if one.level == "warning"]
    assert f"{home.paths.config}:2: `words` is called `vocabularies` now" in warnings


def test_a_task_that_is_missing_broken_or_of_another_model_is_an_error_with_what_waits(find: FindHome) -> None:
    home = find(
        f"{FAKE}watch:\n"
        "  - {path: /a, task: sumarise}\n"
        "  - {path: /b, task: broken}\n"
        "  - {path: /c, task: other}\n"
        "  - {path: /d, task: summarise}\n"
    )
    text = "---\nname: other\ndescription: d\nmodel: big\noutput: {a: {type: string, maxLength: 5}}\n---\nDo.\n"
    (home.paths.tasks / "other.md").write_text(text)
    (home.paths.tasks / "broken.md").write_text("no front matter")
    (home.paths.tasks / "unused.md").write_text("no front matter")
    found = told(check_tasks(home))
    assert {about: level for about, (level, _, _) in found.items()} == {
        "task sumarise": "error",
        "task broken": "error",
        "task other": "error",
        "task summarise": "ok",
        "task unused": "warning",
    }
    assert "did you mean `summarise`? (/a waits)" in found["task sumarise"][1]
    assert "the config has no model `big`" in found["task other"][1]


def test_a_task_is_judged_with_the_words_and_targets_of_the_config(find: FindHome, tmp_path: Path) -> None:
    watch = f"watch: [{{path: {tmp_path}, task: note-tagging}}]\n"
    assert levels(check_tasks(find(FAKE + watch))) == {"task note-tagging": "error"}
    assert levels(check_tasks(find(f"{FAKE}{watch}vocabularies: {{tags: [a, b]}}\n"))) == {
        "task note-tagging": "ok"
    }
    notes = f"vocabularies: {{tags: {tmp_path}}}\n"
    assert levels(check_tasks(find(FAKE + watch + notes))) == {"task note-tagging": "ok"}


def test_the_words_of_a_file_or_folder_are_looked_for(find: FindHome, tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("[red, green]\n")
    (tmp_path / "bad.yaml").write_text("{a: [\n")
    home = find(
        f"{FAKE}vocabularies:\n"
        f"  file: {tmp_path}/words.yaml\n  bad: {tmp_path}/bad.yaml\n"
        f"  folder: {tmp_path}\n  gone: {tmp_path}/gone\n  list: [a, b, c]\n"
    )
    found = told(check_vocabularies(home))
    assert found["vocabulary file"] == ("ok", f"{tmp_path}/words.yaml: 2 words", "")
    assert found["vocabulary folder"] == ("ok", f"{tmp_path}: the tags of its notes", "")
    assert found["vocabulary list"] == ("ok", "3 words", "")
    assert found["vocabulary bad"][0] == "error"
    assert found["vocabulary gone"] == (
        "error",
        f"there is no file or folder {tmp_path}/gone",
        f"mkdir -p {tmp_path}/gone",
    )
