"""The workloads are what the documentation says of them, by the starter's own tokens."""

import json
from pathlib import Path

import jsonschema
import pytest

from agentd.engine.llama.log import LogTail
from agentd.engine.llama.model import LlamaModel
from agentd.engine.settings import ModelSettings
from agentd.engine.weights import find_weights
from benchmarks.engine import figures
from benchmarks.engine.sides import Answer
from benchmarks.engine.workload import Job, incidents, notes, questions


@pytest.fixture(scope="module")
def starter() -> LlamaModel:
    return LlamaModel(find_weights(ModelSettings()), LogTail(), gpu_layers=0, vocab_only=True)


def lengths(model: LlamaModel, jobs: list[Job], turn: int) -> list[int]:
    return [len(model.tokenize(job.messages[turn].content, special=False)) for job in jobs]


def test_incidents_share_about_300_tokens_and_have_150_to_200_of_their_own(starter: LlamaModel) -> None:
    jobs = incidents(48)
    (shared,) = set(lengths(starter, jobs, 0))
    assert 270 <= shared <= 330
    own = lengths(starter, jobs, 1)
    assert 150 <= sum(own) / len(own) <= 200
    assert min(own) >= 140
    assert max(own) <= 215


def test_notes_have_about_200_to_1500_tokens(starter: LlamaModel) -> None:
    own = sorted(lengths(starter, notes(24), 1))
    assert 190 <= own[0] <= 260
    assert 1400 <= own[-1] <= 1560


def test_questions_have_about_300_tokens(starter: LlamaModel) -> None:
    jobs = questions(20)
    whole = [sum(pair) for pair in zip(lengths(starter, jobs, 0), lengths(starter, jobs, 1), strict=True)]
    assert min(whole) >= 260
    assert max(whole) <= 340


def test_a_seed_gives_the_same_jobs_and_another_seed_others() -> None:
    assert incidents(5, seed=1) == incidents(5, seed=1) != incidents(5, seed=2)
    assert notes(3) == notes(3)
    texts = [job.messages[-1].content for job in incidents(48) + questions(20)]
    assert len(set(texts)) == len(texts)


def test_notes_can_be_made_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(json.dumps({"text": "# Pears\n\nPrune the tree."}) + "\n")
    (job,) = notes(1, file=file)
    assert "Prune the tree." in job.messages[-1].content


def test_schemas_are_valid_and_closed_fields_are_in_them() -> None:
    for job in (*incidents(1), *notes(1)):
        assert job.schema is not None
        jsonschema.Draft202012Validator.check_schema(job.schema)
        assert set(job.closed) <= set(job.schema["properties"])


def test_a_question_counts_by_having_an_answer() -> None:
    (job,) = questions(1)
    assert figures.is_valid(job, Answer("Ada.", "end", 1, 0, 2))
    assert not figures.is_valid(job, Answer(" ", "end", 1, 0, 2))
