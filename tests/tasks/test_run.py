"""One run of one task, with a scripted model."""

import json
import re
from typing import Any

import pytest

from agentd.errors import EngineCrashed, InputError, InvalidOutput, TooLong
from agentd.model import Generation
from agentd.records import Coverage, Priority
from agentd.tasks.definition import Task
from agentd.tasks.run import parse_output, run_task
from tests.scripted import ScriptedModel, generation
from tests.tasks.conftest import HEADER, ReadTask, document


def parsed(task: Task, answer: Generation) -> dict[str, Any]:
    return parse_output(task, answer, task.schema)


GOOD = json.dumps({"title": "Pears", "tags": ["home"]})


async def test_a_good_answer_becomes_a_result_with_all_that_is_known_of_it(read: ReadTask) -> None:
    model = ScriptedModel(GOOD)
    result = await run_task(read(), document("Prune\nthe\npear."), model, Priority.BACKFILL)
    assert result.output == {"title": "Pears", "tags": ["home"]}
    assert result.coverage == Coverage(3, 3, "lines")
    assert (result.model, result.kv_cache, result.fake) == ("m.gguf (abcdefabcdef)", "q8_0/q8_0", False)
    assert (result.tokens_in, result.tokens_cached, result.tokens_out) == (30, 10, 8)
    assert (result.seconds, result.engine_seconds, result.probabilities) == (0.5, 0.125, {})
    (request,) = model.asked
    assert request.schema == read().schema
    assert (request.max_tokens, request.seconds, request.priority) == (100, 300.0, Priority.BACKFILL)
    assert (request.shared, request.decide, request.empty) == (1, (), ())


async def test_a_choice_by_score_is_asked_for_beside_the_empty_document_and_its_probabilities_are_kept(
    read: ReadTask,
) -> None:
    task = read(HEADER.replace("max_tokens", "  kind: {enum: [note, list], decide: score}\nmax_tokens"))
    likely = {"note": 0.75, "list": 0.25}
    model = ScriptedModel(generation(json.dumps({"title": "Pears", "tags": [], "kind": "note"}), kind=likely))
    result = await run_task(task, document("Prune."), model)
    assert (result.output["kind"], result.probabilities) == ("note", {"kind": likely})
    (request,) = model.asked
    assert request.decide == ("kind",)
    # The same but for the document, and the same for every document.
    assert request.empty[: request.shared] == request.messages[: request.shared]
    assert "Prune" in request.messages[1].content
    assert re.fullmatch(r"<document (\w{12})>\n\n</document \1>", request.empty[1].content)


async def test_a_document_is_refused_where_there_is_no_room_for_any_part_of_it(read: ReadTask) -> None:
    model = ScriptedModel(tokens=901)
    with pytest.raises(TooLong) as refused:
        await run_task(read(), document("long"), model)
    assert refused.value.message == (
        "the task tag leaves 0 tokens for a document (context 1,000, answer up to 100)"
    )
    assert "models.main.context" in refused.value.hint
    assert model.asked == []


async def test_a_document_that_just_fits_is_done(read: ReadTask) -> None:
    assert (await run_task(read(), document("long"), ScriptedModel(GOOD, tokens=900))).output["title"] == "Pears"


async def test_a_kind_that_the_task_does_not_read_is_refused(read: ReadTask) -> None:
    task = read(HEADER + "reads: [markdown]\n")
    with pytest.raises(InputError, match="tag reads markdown, not text"):
        await run_task(task, document("x", kind="text"), ScriptedModel())


async def test_an_engine_error_passes_through(read: ReadTask) -> None:
    with pytest.raises(EngineCrashed, match="died"):
        await run_task(read(), document("x"), ScriptedModel(EngineCrashed("it died")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("I would say: home", "not JSON"),
        (GOOD[:-5], "not JSON"),
        ("[]", "breaks its schema at answer"),
        ('"home"', "breaks its schema at answer"),
        ('{"title": "Pears"}', "'tags' is a required property"),
        ('{"title": "Pears", "tags": ["garden"]}', r"breaks its schema at tags\.0: 'garden' is not one of"),
        ('{"title": "Pears", "tags": ["sql", "home", "garden"]}', "breaks its schema at tags"),
        ('{"title": "Pears", "tags": [], "mood": "good"}', "Additional properties"),
        (json.dumps({"title": "x" * 41, "tags": []}), "breaks its schema at title"),
        ('{"title": "", "tags": []}', "breaks its schema at title"),
        ('{"title": " \\n ", "tags": []}', "has nothing in title"),
        ('{"title": 7, "tags": []}', "breaks its schema at title"),
    ],
)
def test_an_answer_that_is_not_valid_is_a_failure_with_its_reason(read: ReadTask, text: str, reason: str) -> None:
    with pytest.raises(InvalidOutput, match=reason) as refused:
        parsed(read(), generation(text))
    assert refused.value.hint == "agentd tasks show tag"


def test_an_answer_that_was_cut_is_a_failure_even_if_it_is_whole(read: ReadTask) -> None:
    with pytest.raises(InvalidOutput, match="cut at its bound of 100 tokens: raise max_tokens"):
        parsed(read(), generation(GOOD, stop="length"))


def test_an_empty_list_is_an_answer_and_a_repeated_word_is_said_once(read: ReadTask) -> None:
    assert parsed(read(), generation('{"title": "Pears", "tags": []}'))["tags"] == []
    assert parsed(read(), generation('{"title": "Pears", "tags": ["home", "home"]}'))["tags"] == ["home"]


def test_a_blank_optional_property_is_no_failure(read: ReadTask) -> None:
    task = read(HEADER.replace("max_tokens", "  note: {type: string, optional: true}\nmax_tokens"))
    assert parsed(task, generation('{"title": "Pears", "tags": [], "note": " "}'))["note"] == " "


async def test_key_points_from_the_document_are_bound_to_its_sentences(read: ReadTask) -> None:
    task = read(
        HEADER.replace("max_tokens", "  points: {type: array, items: {type: string, from: document}}\nmax_tokens")
    )
    said = document("# Pears\n\nPrune in March. Feed in April.")
    answer = {"title": "Pears", "tags": [], "points": ["Prune in March.", "Feed in April."]}
    assert (await run_task(task, said, ScriptedModel(json.dumps(answer)))).output == answer
    invented = answer | {"points": ["Prune in March.", "Sell in May."]}
    with pytest.raises(InvalidOutput, match="Sell in May"):
        await run_task(task, said, ScriptedModel(json.dumps(invented)))
