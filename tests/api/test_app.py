import asyncio
import json
from urllib.parse import quote

import httpx
import pytest

from agentd.api import app
from agentd.api.app import RunBody
from agentd.api.shapes import ErrorShape
from tests.api.conftest import MODELS, ScriptedDaemon
from tests.waiting import wait_until


def error_of(response: httpx.Response) -> ErrorShape:
    """The body, if it is an `ErrorShape` and nothing else."""
    wire = response.json()
    assert set(wire) == set(ErrorShape.__annotations__)
    assert all(isinstance(value, str) and value for value in wire.values())
    return wire


async def parts_of(http: httpx.AsyncClient, path: str, body: object) -> list[dict[str, object]]:
    response = await http.post(path, json=body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_status_is_what_the_daemon_reports(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/status")
    assert (response.status_code, response.json()) == (200, {"pid": 1, "models": MODELS})


async def test_a_run_is_a_stream_of_events(http: httpx.AsyncClient, daemon: ScriptedDaemon) -> None:
    parts = await parts_of(http, "/v1/run", {"task": "tag", "paths": ["/a"]})
    assert parts == [{"type": "added", "jobs": [1]}, {"type": "job", "job": {"source": "café"}}]
    assert daemon.asked == [RunBody(task="tag", paths=["/a"])]


async def test_an_error_before_the_first_event_has_its_status(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/run", json={"task": "unknown"})
    assert response.status_code == 422
    assert error_of(response)["code"] == "unknown-task"


@pytest.mark.parametrize(("task", "code"), [("crash", "engine-crashed"), ("mistake", "internal")])
async def test_an_error_inside_a_stream_is_its_last_event(http: httpx.AsyncClient, task: str, code: str) -> None:
    lines = []
    try:
        async with http.stream("POST", "/v1/run", json={"task": task}) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                lines += [json.loads(line)]
    except httpx.RemoteProtocolError:
        assert code == "internal", "only a mistake may cut the stream"
    assert [part["type"] for part in lines] == ["added", "error"]
    assert lines[-1]["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "told"),
    [
        ("POST", "/v1/jobs/5/retry", 404, "not-found", "there is no job 5"),
        ("POST", "/v1/jobs/5/cancel", 409, "error", "already done"),
        ("POST", "/v1/jobs/five/cancel", 404, "request", "Not Found"),
        ("GET", "/v1/nothing", 404, "request", "Not Found"),
        ("GET", "/", 404, "request", "Not Found"),
        ("GET", "/v1/run", 405, "request", "Method Not Allowed"),
        ("DELETE", "/v1/status", 405, "request", "Method Not Allowed"),
    ],
)
async def test_what_cannot_be_done_is_an_error_in_its_shape(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str, told: str
) -> None:
    response = await http.request(method, path)
    assert response.status_code == status
    error = error_of(response)
    assert error["code"] == code
    assert told in error["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Invalid JSON"),
        (b"{not json", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "object"),
        (b"{}", "task: Field required"),
        (b'{"task": 5}', "task: Input should be a valid string"),
        (b'{"task": "a", "path": ["/etc/passwd"]}', "path: Extra inputs"),
        (b'{"task": "a", "paths": [1]}', "paths.0: "),
    ],
)
async def test_a_bad_body_is_refused_with_what_is_wrong(
    http: httpx.AsyncClient, daemon: ScriptedDaemon, body: bytes, told: str
) -> None:
    response = await http.post("/v1/run", content=body)
    assert response.status_code == 400
    assert told in error_of(response)["message"]
    assert daemon.asked == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_and_the_server_goes_on(
    http: httpx.AsyncClient, daemon: ScriptedDaemon, chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MAX_BODY", 1000)

    async def parts() -> object:
        for _ in range(50):
            yield b"x" * 100

    body = parts() if chunked else b"x" * 5000
    response = await http.post("/v1/run", content=body)  # type: ignore[arg-type]
    assert response.status_code == 413
    assert "1,000 bytes" in error_of(response)["message"]
    exact = json.dumps({"task": "x" * (1000 - len('{"task": ""}'))}).encode()
    assert len(exact) == 1000
    assert (await http.post("/v1/run", content=exact)).status_code == 200


async def test_a_mistake_is_told_as_one(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/render", json={"task": "a"})
    assert response.status_code == 500
    assert error_of(response)["message"] == "ZeroDivisionError: division by zero"
    assert (await http.post("/v1/jobs/rerun-stale")).json() == [7]


async def test_a_client_that_goes_away_ends_its_stream(http: httpx.AsyncClient, daemon: ScriptedDaemon) -> None:
    async with http.stream("POST", "/v1/ask", json={"question": "when?"}) as response:
        async for line in response.aiter_lines():
            assert json.loads(line) == {"type": "text", "text": "one"}
            break
        assert not daemon.closed.is_set()
    await wait_until(daemon.closed.is_set)


async def test_a_client_that_goes_away_before_the_first_part_ends_its_stream_too(
    http: httpx.AsyncClient, daemon: ScriptedDaemon
) -> None:
    asking = asyncio.create_task(http.post("/v1/run", json={"task": "slow"}))
    await daemon.begun.wait()
    assert not daemon.closed.is_set()
    asking.cancel()
    await wait_until(daemon.closed.is_set)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("what", ["load", "unload"])
async def test_a_model_is_loaded_and_unloaded_by_its_name(
    http: httpx.AsyncClient, daemon: ScriptedDaemon, name: str, what: str
) -> None:
    response = await http.post(f"/v1/models/{quote(name, safe='')}/{what}")
    assert (response.status_code, response.json()) == (200, MODELS[name])
    assert daemon.asked == [(what, name)]


async def test_a_model_that_is_unknown_is_not_found(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/models/huge/load")
    assert response.status_code == 404
    assert error_of(response)["hint"] == "agentd model list"
