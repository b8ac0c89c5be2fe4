import json
from dataclasses import asdict, replace

from agentd.api.shapes import JobShape, ResultShape, job_shape, result_shape
from agentd.records import Job, JobState, Priority
from agentd.store.outlook import Place
from agentd.store.results import StoredResult
from tests.making import make_result
from tests.shapes import check_shape

JOB = Job(
    *(1, "tag", "hash", "main", "/a", "0" * 64, "", Priority.TRIGGERED, JobState.FAILED),
    *(2, 1, "empty", "it is empty", "cat /a", "c", "n", None, "f"),
)


def test_a_job_has_every_key_of_its_shape_as_plain_json() -> None:
    shape = job_shape(JOB)
    assert set(shape) == set(JobShape.__annotations__)
    assert json.loads(json.dumps(shape)) == shape
    assert (shape["state"], shape["priority"], shape["error"]) == ("failed", "triggered", "it is empty")
    assert (shape["attempts"], shape["crashes"]) == (2, 1)
    assert (shape["position"], shape["eta_seconds"]) == (None, None)


def test_a_queued_job_has_its_place() -> None:
    job = replace(JOB, state=JobState.QUEUED)
    shape = job_shape(job, Place(3, 7.26))
    check_shape(shape, JobShape)
    assert (shape["position"], shape["eta_seconds"]) == (3, 7.3)
    assert job_shape(job, Place(3, None))["eta_seconds"] is None


def test_a_result_has_every_key_of_its_shape_as_plain_json() -> None:
    result = make_result(seconds=1.23456)
    shape = result_shape(StoredResult(5, 1, "tag", "hash", "/a", "0" * 64, "c", result), stale=True)
    assert set(shape) == set(ResultShape.__annotations__)
    assert json.loads(json.dumps(shape)) == shape
    assert shape["coverage"] == asdict(result.coverage) | {"missing": []}
    check_shape(shape, ResultShape)
    assert (shape["id"], shape["stale"], shape["seconds"], shape["engine_seconds"]) == (5, True, 1.235, 0.25)
    assert shape["probabilities"] == {"kind": {"note": 0.75, "list": 0.25}}
