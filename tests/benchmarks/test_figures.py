"""What measurements come to."""

import json

import pytest

from benchmarks.engine import figures
from benchmarks.engine.figures import Limit, Run
from benchmarks.engine.sides import Answer
from benchmarks.engine.workload import Job, incidents

GOOD = {"severity": "info", "part": "disk", "summary": "s", "action": "a"}


def answer(value: object, stop: str = "end", cached: int | None = 300) -> Answer:
    return Answer(json.dumps(value), stop, tokens_in=480, tokens_cached=cached, tokens_out=40)


def job() -> Job:
    return incidents(1)[0]


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        (answer(GOOD), True),
        (answer(GOOD, stop="length"), False),
        (answer(GOOD | {"part": "moon"}), False),
        (answer({"severity": "info"}), False),
        (Answer("{", "end", 1, 1, 1), False),
    ],
)
def test_only_a_whole_answer_of_its_schema_counts(given: Answer, valid: bool) -> None:
    assert figures.is_valid(job(), given) is valid


def test_a_run_counts_valid_jobs_and_all_tokens() -> None:
    run = figures.summarise([job(), job()], [answer(GOOD), answer({}, cached=280)], seconds=30)
    assert (run.valid, run.a_minute, run.tokens_in, run.tokens_cached, run.most_cached) == (1, 2.0, 960, 580, 300)


def test_what_one_answer_does_not_tell_is_not_known_of_the_run() -> None:
    run = figures.summarise([job(), job()], [answer(GOOD), answer(GOOD, cached=None)], seconds=30)
    assert run.tokens_cached is run.most_cached is None


def test_the_limit_takes_the_fastest_shape_and_the_luckiest_job() -> None:
    run = Run(10, jobs=2, valid=2, tokens_in=960, tokens_cached=580, most_cached=300, tokens_out=80)
    slow = {"prompt": [{"rate": 90.0}, {"rate": 190.0}], "decode": [{"rate": 40.0}]}
    quick = {"prompt": [{"rate": 110.0}, {"rate": 210.0}], "decode": [{"rate": 60.0}]}
    limit = figures.limit(run, forced=40, chosen=50, rates=[slow, quick])
    assert limit == Limit(prompt=360, forced=40, chosen=50, prompt_rate=200.0, decode_rate=50.0)
    assert limit.seconds == pytest.approx(400 / 200 + 1)


def test_answers_agree_by_their_closed_fields() -> None:
    jobs = [job(), job(), job()]
    left = [json.dumps(GOOD), json.dumps(GOOD), "{"]
    right = [json.dumps(GOOD | {"summary": "other"}), json.dumps(GOOD | {"part": "memory"}), "{"]
    assert figures.agreement(jobs, left, right) == (3, 6)
