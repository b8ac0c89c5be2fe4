"""Choosing by evidence: words, other notes and the model's scores, added and explained."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.cli.text import why_text
from agentd.tasks.evidence import (
    EMPTY_VAULT,
    VAULT_WEIGHT,
    Near,
    Similar,
    VaultView,
    Weighed,
    choose,
    explain,
    weigh_tags,
)
from agentd.tasks.profiles import Profiles
from agentd.tasks.run import run_task
from agentd.tasks.words import count_terms, read_words, weigh, words_of_tag
from tests.scripted import ScriptedModel, generation
from tests.tasks.conftest import ReadTask, document

HEADER = """\
name: tag
description: Tag a note
output:
  tags: {type: array, items: {vocabulary: tags}, maxItems: 2, decide: evidence}
max_tokens: 100
"""
TAGS = {"postgres": "", "garden": "plants, seeds", "dev/python": "", "dev": ""}


def told(tag: str, words: float) -> Weighed:
    return Weighed(tag, words, 0.0, 0.0, (), 0)


def test_a_note_speaks_of_a_tag_by_its_title_its_code_and_its_text() -> None:
    note = read_words("# Indexes in PostgreSQL\n\nPlants are not meant.\n\n```python\nx = 1\n```\n")
    words, found = weigh("postgres", "", note, {})
    assert found == ["postgres"]
    assert words == pytest.approx(0.693 + 1, abs=0.01)
    assert weigh("garden", "plants, seeds", note, {})[1] == ["plants"]
    assert weigh("python", "", note, {})[0] == pytest.approx(0.693 + 0.5, abs=0.01)
    assert weigh("sql", "", note, {}) == (0.0, [])


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    note = read_words("\nruby and on\nrails and on")
    rare, common = (weigh(tag, "", note, {"on": 2.0, "and": 0.5})[0] for tag in ("on", "and"))
    assert rare == pytest.approx(common * 2)


def test_a_word_that_only_describes_a_tag_says_no_more_in_a_title() -> None:
    note = read_words("# Learning a language")
    assert weigh("python", "the language and its tools", note, {})[0] == pytest.approx(0.693, abs=0.01)
    assert weigh("language", "", note, {})[0] == pytest.approx(0.693 + 1, abs=0.01)


def test_the_last_level_of_a_tag_and_its_description_are_its_words() -> None:
    assert words_of_tag("dev/py-web", "The web, with Python") == ["py", "web", "python"]


def test_profiles_learn_and_forget_notes() -> None:
    profiles = Profiles()
    notes = [("sow peas early", "garden"), ("sow beans late", "garden"), ("select rows from table", "sql")]
    for text, tag in notes:
        profiles.add(count_terms(text), [tag])
    alike = profiles.compare(count_terms("when to sow"), ["garden", "sql", "unknown"])
    assert alike["garden"] > alike["sql"] == 0.0
    assert "unknown" not in alike
    profiles.remove(count_terms("select rows from table"), ["sql"])
    assert "sql" not in profiles.compare(count_terms("select rows"), ["sql"])


@given(st.lists(st.tuples(st.sampled_from(["a b", "b c c", "d", ""]), st.sampled_from(["x", "y"])), max_size=8))
def test_profiles_that_forgot_all_are_as_new(notes: list[tuple[str, str]]) -> None:
    profiles = Profiles()
    for text, tag in notes:
        profiles.add(count_terms(text), [tag])
    for text, tag in notes:
        profiles.remove(count_terms(text), [tag])
    assert (profiles.notes, profiles.compare(count_terms("a b c d"), ["x", "y"])) == (0, {})


def test_evidence_is_added_and_the_parts_are_kept() -> None:
    vault = VaultView({}, {"garden": 0.3, "dev": 0.1}, {"garden": 10, "dev": 10}, usual=0.2)
    scores = {"postgres": 0.7, "garden": 0.1, "dev/python": 0.1, "dev": 0.1}
    weighed = weigh_tags(TAGS, read_words("Plants need water."), vault, scores)
    best = weighed[0]
    assert (best.tag, best.found, best.tagged) == ("garden", ("plants",), 10)
    assert best.vault == pytest.approx(VAULT_WEIGHT * (0.3 - 0.2) / 2)
    assert best.model == pytest.approx(0.3 * -0.916, abs=0.01)
    assert best.total == pytest.approx(best.words + best.vault + best.model)


def test_none_is_chosen_where_nothing_fits_unless_one_is_asked_for() -> None:
    weighed = weigh_tags(TAGS, read_words("Nothing of note."), EMPTY_VAULT, {})
    assert choose(weighed, 0, 3) == []
    assert len(choose(weighed, 1, 3)) == 1


def test_only_tags_near_the_best_are_chosen_and_at_most_so_many() -> None:
    weighed = [told("a", 5.0), told("b", 4.0), told("c", 3.6), told("d", 1.2)]
    assert [one.tag for one in choose(weighed, 0, 5)] == ["a", "b", "c"]
    assert [one.tag for one in choose(weighed, 0, 2)] == ["a", "b"]
    assert [one.tag for one in choose(weighed, 4, 5)] == ["a", "b", "c", "d"]


def test_of_two_levels_of_a_tag_the_closer_one_is_chosen() -> None:
    assert [one.tag for one in choose([told("dev", 3.0), told("dev/python", 2.5)], 0, 3)] == ["dev/python"]
    assert [one.tag for one in choose([told("dev/python", 3.0), told("dev", 2.5)], 0, 3)] == ["dev/python"]


def test_a_choice_says_why_and_what_came_next() -> None:
    vault = VaultView({}, {"garden": 0.3}, {"garden": 10}, (Similar("/n/peas.md", "Peas", ("garden",)),))
    weighed = weigh_tags(TAGS, read_words("# Seeds"), vault, {})
    first, *rest = explain(weighed, choose(weighed, 0, 1), vault)
    assert (first["value"], first["chosen"]) == ("garden", True)
    assert first["words"]["found"] == ["seeds"]
    assert first["notes"] == {"nats": first["notes"]["nats"], "tagged": 10, "similar": ["/n/peas.md"]}
    assert [one["chosen"] for one in rest] == [False, False]


def test_near_notes_are_evidence_of_their_own_and_told_only_where_there_are_any() -> None:
    similar = (Similar("/n/peas.md", "", ("garden",)), Similar("/n/sql.md", "", ("postgres",)))
    vault = VaultView({}, {}, {}, near=Near({"garden": 1.25, "postgres": -0.5}, 30, similar))
    weighed = weigh_tags(TAGS, read_words("# Seeds"), vault, {})
    assert weighed[0].tag == "garden"
    assert weighed[0].total == pytest.approx(weighed[0].words + 1.25)
    first, *_ = explain(weighed, choose(weighed, 0, 1), vault)
    assert first["embeddings"] == {"nats": 1.25, "compared": 30, "similar": ["/n/peas.md"]}
    assert "by meaning (+1.25; like /n/peas.md)" in why_text(first)
    plain, *_ = explain(weighed, choose(weighed, 0, 1), EMPTY_VAULT)
    assert "embeddings" not in plain and "by meaning" not in why_text(plain)


def test_a_model_that_is_sure_is_enough_and_one_that_is_not_is_none() -> None:
    def chosen(share: float) -> list[str]:
        rest = (1 - share) / (len(TAGS) - 1)
        scores = dict.fromkeys(TAGS, rest) | {"garden": share}
        return [
            one.tag for one in choose(weigh_tags(TAGS, read_words("no word of it"), EMPTY_VAULT, scores), 0, 3)
        ]

    assert chosen(0.9) == ["garden"]
    assert chosen(0.6) == []


def test_the_closer_of_two_levels_is_chosen_where_there_is_room_for_one() -> None:
    weighed = [told("dev", 2.0), told("dev/python", 1.9), told("garden", 1.0)]
    assert [one.tag for one in choose(weighed, 0, 1)] == ["dev/python"]


def test_notes_of_the_only_tag_that_any_has_speak_for_it_where_they_are_more_alike_than_others() -> None:
    def vault_of(text: str) -> float:
        profiles = Profiles()
        for number in range(6):
            profiles.add(count_terms(f"def return import python {number}"), ["dev/python"])
            profiles.add(count_terms(f"sow water soil {number}"), [])
        terms = count_terms(text)
        view = VaultView(
            *({}, profiles.compare(terms, TAGS), {"dev/python": 6}),
            usual=profiles.likeness_to_all(terms),
        )
        return next(one.vault for one in weigh_tags(TAGS, read_words(""), view, {}) if one.tag == "dev/python")

    assert vault_of("def return import") > 0
    assert vault_of("sow water soil") < 0


async def test_a_task_that_decides_by_evidence_asks_for_one_score_and_gives_a_list(read: ReadTask) -> None:
    task = read(HEADER, tags=TAGS)
    scores = {"postgres": 0.1, "garden": 0.7, "dev/python": 0.1, "dev": 0.1}
    model = ScriptedModel(generation(json.dumps({"tags": "garden"}), tags=scores))
    result = await run_task(task, document("# Seeds\n\nSow the seeds in March."), model)
    assert result.output == {"tags": ["garden"]}
    assert result.probabilities == {"tags": scores}
    assert result.why["tags"][0]["value"] == "garden"
    (request,) = model.asked
    assert request.decide == ("tags",)
    assert request.schema and request.schema["properties"]["tags"] == {"enum": list(TAGS)}


async def test_nothing_fits_is_an_answer(read: ReadTask) -> None:
    scores = dict.fromkeys(TAGS, 0.25)
    model = ScriptedModel(generation(json.dumps({"tags": "dev"}), tags=scores))
    result = await run_task(read(HEADER, tags=TAGS), document("Bread rises."), model)
    assert result.output == {"tags": []}
