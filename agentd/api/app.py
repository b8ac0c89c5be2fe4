"""The routes: status, run, ask, jobs. Long answers are streams of JSON, one part a line.

    GET  /v1/status
    GET  /v1/closed         what may not be begun now, and why
    POST /v1/reload         the config is read again; what of it has changed
    POST /v1/run            {task, paths, texts}     stream: a part as each job ends
    POST /v1/render         {task, path, text}       the exact prompt and its tokens
    POST /v1/ask            {question}               stream: text, then done
    POST /v1/jobs/ID/retry · /v1/jobs/ID/cancel · /v1/jobs/rerun-stale
    POST /v1/tasks/NAME/test                         stream: a part as each example ends
    POST /v1/changes/ID/apply · /v1/changes/ID/undo · /v1/changes/ID/refuse     the change as it is then
    GET  /v1/backfills/ID · POST /v1/backfills {task, paths, again} · /v1/backfills/ID/pause · …/resume · …/cancel
    POST /v1/schedules/NAME/run                      the job that it made
    POST /v1/models/NAME/load · /v1/models/NAME/unload · /v1/models/NAME/reset     how the model is then
    POST /v1/models/NAME/tune                        stream: progress, then done

What stands behind them is the `Daemon` protocol. Errors are the `ErrorShape`, with a status that fits.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from agentd.api.shapes import BackfillShape, ChangeShape, JobShape
from agentd.api.status_shapes import StatusShape
from agentd.errors import AgentdError, EngineError, InputError, InternalError, NotFound, TaskError

MAX_BODY = 32 * 1024**2  # a text of the largest size that is read, as JSON

Parts = AsyncGenerator[dict[str, Any], None]
Report = Callable[[], Awaitable[StatusShape]]
ReadAgain = Callable[[], Awaitable[list[str]]]


class Body(BaseModel):
    """A request's JSON: no key that is not known."""

    model_config = ConfigDict(extra="forbid")


class RunBody(Body):
    """What `agentd run` asks for."""

    task: str
    paths: list[str] = []
    texts: list[str] = []  # that stand in no file, such as standard input


class RenderBody(Body):
    """What `agentd run --dry-run` asks for."""

    task: str
    path: str | None = None
    text: str | None = None


class AskBody(Body):
    """What `agentd ask` asks for."""

    question: str


class BackfillBody(Body):
    """What `agentd backfill` asks for."""

    task: str
    paths: list[str] = Field(min_length=1)
    again: bool = False


class Daemon(Protocol):
    """What the routes need from the daemon."""

    def closed(self) -> dict[str, dict[str, str]]:
        """What may not be begun now, and why."""

    def run(self, body: RunBody) -> Parts:
        """Add jobs; a part as each ends."""

    async def render(self, body: RenderBody) -> dict[str, Any]:
        """The exact prompt of a task on one input."""

    def ask(self, body: AskBody) -> Parts:
        """Answer a question; the text as it grows, then the whole answer."""

    async def retry(self, job_id: int) -> JobShape:
        """Queue a job again."""

    async def cancel(self, job_id: int) -> JobShape:
        """End a job."""

    async def rerun_stale(self) -> list[int]:
        """Add jobs for stale results; their ids."""

    def test_task(self, name: str) -> Parts:
        """Run a task on its examples; a part as each ends."""

    async def steer_change(self, change_id: int, what: str) -> ChangeShape:
        """Apply, undo or refuse a change."""

    async def begin_backfill(self, body: BackfillBody) -> BackfillShape:
        """Let a task do files that are there already."""

    async def show_backfill(self, backfill_id: int) -> BackfillShape:
        """How far a backfill is."""

    async def steer_backfill(self, backfill_id: int, what: str) -> BackfillShape:
        """Pause, resume or cancel a backfill."""

    async def fire_schedule(self, name: str) -> JobShape:
        """Fire a schedule now."""

    async def load_model(self, name: str) -> None:
        """Load a model; raises `ModelUnavailable` where that fails."""

    async def unload_model(self, name: str) -> None:
        """Take a model out of memory until a person needs it."""

    def tune_model(self, name: str) -> Parts:
        """Measure how a model runs best; progress, then the outcome."""

    async def reset_model(self, name: str) -> None:
        """Forget what was measured of a model; raises `NotFound`."""


def create_app(daemon: Daemon, report: Report, read_again: ReadAgain) -> Starlette:
    """The ASGI application of a daemon; `report` tells how it is, `read_again` takes another config."""

    async def status(_: Request) -> Response:
        return JSONResponse(await report())

    async def closed(_: Request) -> Response:
        return JSONResponse(daemon.closed())

    async def reload(_: Request) -> Response:
        return JSONResponse({"changed": await read_again()})

    async def run(request: Request) -> Response:
        return await _stream(request, daemon.run(await _body(request, RunBody)))

    async def render(request: Request) -> Response:
        return JSONResponse(await daemon.render(await _body(request, RenderBody)))

    async def ask(request: Request) -> Response:
        return await _stream(request, daemon.ask(await _body(request, AskBody)))

    async def retry(request: Request) -> Response:
        return JSONResponse(await daemon.retry(request.path_params["id"]))

    async def cancel(request: Request) -> Response:
        return JSONResponse(await daemon.cancel(request.path_params["id"]))

    async def rerun(_: Request) -> Response:
        return JSONResponse(await daemon.rerun_stale())

    async def test_task(request: Request) -> Response:
        return await _stream(request, daemon.test_task(request.path_params["name"]))

    async def steer_change(request: Request) -> Response:
        what = request.path_params["what"]
        if what not in ("apply", "undo", "refuse"):
            raise HTTPException(404, f"a change can be applied, undone or refused, not {what}")
        return JSONResponse(await daemon.steer_change(request.path_params["id"], what))

    async def begin_backfill(request: Request) -> Response:
        return JSONResponse(await daemon.begin_backfill(await _body(request, BackfillBody)))

    async def show_backfill(request: Request) -> Response:
        return JSONResponse(await daemon.show_backfill(request.path_params["id"]))

    async def steer_backfill(request: Request) -> Response:
        what = request.path_params["what"]
        if what not in ("pause", "resume", "cancel"):
            raise HTTPException(404, f"a backfill can be paused, resumed or cancelled, not {what}")
        return JSONResponse(await daemon.steer_backfill(request.path_params["id"], what))

    async def fire_schedule(request: Request) -> Response:
        return JSONResponse(await daemon.fire_schedule(request.path_params["name"]))

    async def load_model(request: Request) -> Response:
        await daemon.load_model(name := request.path_params["name"])
        return JSONResponse((await report())["models"][name])

    async def unload_model(request: Request) -> Response:
        await daemon.unload_model(name := request.path_params["name"])
        return JSONResponse((await report())["models"][name])

    async def tune_model(request: Request) -> Response:
        return await _stream(request, daemon.tune_model(request.path_params["name"]))

    async def reset_model(request: Request) -> Response:
        await daemon.reset_model(name := request.path_params["name"])
        return JSONResponse((await report())["models"][name])

    return Starlette(
        routes=[
            Route("/v1/status", status, methods=["GET"]),
            Route("/v1/closed", closed, methods=["GET"]),
            Route("/v1/reload", reload, methods=["POST"]),
            Route("/v1/run", run, methods=["POST"]),
            Route("/v1/render", render, methods=["POST"]),
            Route("/v1/ask", ask, methods=["POST"]),
            Route("/v1/jobs/rerun-stale", rerun, methods=["POST"]),
            Route("/v1/jobs/{id:int}/retry", retry, methods=["POST"]),
            Route("/v1/jobs/{id:int}/cancel", cancel, methods=["POST"]),
            Route("/v1/tasks/{name}/test", test_task, methods=["POST"]),
            Route("/v1/changes/{id:int}/{what}", steer_change, methods=["POST"]),
            Route("/v1/backfills", begin_backfill, methods=["POST"]),
            Route("/v1/backfills/{id:int}", show_backfill, methods=["GET"]),
            Route("/v1/backfills/{id:int}/{what}", steer_backfill, methods=["POST"]),
            Route("/v1/schedules/{name}/run", fire_schedule, methods=["POST"]),
            Route("/v1/models/{name:path}/load", load_model, methods=["POST"]),
            Route("/v1/models/{name:path}/unload", unload_model, methods=["POST"]),
            Route("/v1/models/{name:path}/tune", tune_model, methods=["POST"]),
            Route("/v1/models/{name:path}/reset", reset_model, methods=["POST"]),
        ],
        exception_handlers={AgentdError: _refuse, HTTPException: _refuse_http, Exception: _refuse_mistake},
    )


async def _body(request: Request, kind: type[Any]) -> Any:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                # What is left of it would be read and thrown away, however long it is.
                close = {"Connection": "close"}
                raise HTTPException(413, f"the request is larger than {MAX_BODY:,} bytes", headers=close)
    except ClientDisconnect as gone:
        raise HTTPException(400, "the client left in the middle of its request") from gone
    try:
        return kind.model_validate_json(bytes(body))
    except pydantic.ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise HTTPException(400, f"{place}: {first['msg']}") from invalid


async def _stream(request: Request, parts: Parts) -> Response:
    """Send parts as they come. The first is awaited here, so that an early error has its status."""
    beginning = asyncio.ensure_future(anext(parts, None))
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({beginning, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not beginning.done():
            return Response(status_code=400)  # nobody is there to read it
        first = beginning.result()
    finally:
        beginning.cancel()
        leaving.cancel()

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            if first is not None:
                yield _line(first)
            async for part in parts:
                yield _line(part)
        except AgentdError as error:
            yield _line({"type": "error", "error": error.to_wire()})
        except Exception as mistake:
            yield _line({"type": "error", "error": _internal(mistake).to_wire()})
            raise

    return _Lines(parts, lines())


class _Lines(StreamingResponse):
    """Lines of JSON. However it ends, what makes them is closed before its task goes on."""

    def __init__(self, parts: Parts, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines, media_type="application/x-ndjson")
        self._parts, self._lines = parts, lines

    async def stream_response(self, send: Send) -> None:
        """Send it all, or what is read of it."""
        async with contextlib.aclosing(self._parts), contextlib.aclosing(self._lines):
            await super().stream_response(send)


async def _gone(request: Request) -> None:
    """Wait until the client of a request, whose body has been read, has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _line(part: dict[str, Any]) -> bytes:
    return json.dumps(part, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, AgentdError)
    status = {NotFound: 404, EngineError: 503, TaskError: 422, InputError: 422}
    code = next((status[kind] for kind in status if isinstance(error, kind)), 409)
    return JSONResponse(error.to_wire(), status_code=code)


async def _refuse_mistake(_: Request, mistake: Exception) -> Response:
    return JSONResponse(_internal(mistake).to_wire(), status_code=500)


def _internal(mistake: Exception) -> InternalError:
    return InternalError(f"{type(mistake).__name__}: {mistake}")


async def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wire = {"code": "request", "message": error.detail, "hint": "agentd --help"}
    return JSONResponse(wire, status_code=error.status_code, headers=error.headers)
