"""A peer in a process of its own: two builds of llama.cpp in one process would get in each other's way.

It is told by lines of JSON on stdin and answers on stdout:
    {engine, model, kv, slots, threads, context, binary}    {version}
    {jobs: [{messages, schema, max_tokens}]}                {answers: [{text, stop, tokens_in, …}]}
Jobs of one line are asked at the same time, as many as keep every slot busy. All answers are greedy, and held to
JSON without blanks between its parts where an engine can be told so: they would only cost it time.
"""

import contextlib
import http.client
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

Body = dict[str, Any]
LOAD_SECONDS = 120.0
# llguidance's own keyword: xllamacpp's build of llama.cpp has it in.
COMPACT = {"x-guidance": {"whitespace_flexible": False}}


class Engine(Protocol):
    """One engine that speaks llama.cpp's chat format."""

    version: str

    def ask(self, body: Body, schema: Body | None) -> Body:
        """The completion of one chat; several threads may call it where there are several slots."""


class Embedded:
    """llama.cpp's server engine as the package xllamacpp carries it."""

    def __init__(self, asked: Body) -> None:
        import xllamacpp  # type: ignore[import-not-found,import-untyped,unused-ignore]

        params = xllamacpp.CommonParams()
        params.model.path = asked["model"]
        params.n_parallel = asked["slots"]
        params.n_ctx = asked["context"] * asked["slots"]
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
        kind = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{asked['kv'].upper()}")
        params.cache_type_k = params.cache_type_v = kind
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.fit_params = False  # what was asked for, not what it would think of
        params.cache_prompt = True
        params.n_threads_http = 2 * asked["slots"] + 2
        params.verbosity = 0
        self._server = xllamacpp.Server(params)
        self._to_grammar = xllamacpp.json_schema_to_grammar
        self.version = f"xllamacpp {importlib.metadata.version('xllamacpp')}"

    def ask(self, body: Body, schema: Body | None) -> Body:
        """Through the engine's own function, without a socket."""
        if schema:
            # As `response_format` it would lose the keyword, and write blanks.
            body["grammar"] = self._to_grammar(schema | COMPACT)
        answer: Body = self._server.handle_chat_completions(body)
        return answer


class Binary:
    """A `llama-server` that was built for this machine, over HTTP on this machine."""

    def __init__(self, asked: Body) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        slots, threads = str(asked["slots"]), str(asked["threads"])
        command = [
            *(asked["binary"], "--model", asked["model"], "--host", "127.0.0.1", "--port", str(self._port)),
            *("--parallel", slots, "--ctx-size", str(asked["context"] * asked["slots"]), "--fit", "off"),
            *("--threads", threads, "--threads-batch", threads, "--flash-attn", "on", "--no-webui"),
            *("--cache-type-k", asked["kv"], "--cache-type-v", asked["kv"], "--no-kv-unified"),
            *("--threads-http", str(2 * asked["slots"] + 2)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + LOAD_SECONDS
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{asked['binary']} did not start")
            time.sleep(0.05)
        self.version = _version_of(asked["binary"])

    def ask(self, body: Body, schema: Body | None) -> Body:
        """Over a connection of its own, which costs nothing beside an answer."""
        if schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return self._call("POST", "/v1/chat/completions", body)

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()

    def _is_up(self) -> bool:
        with contextlib.suppress(OSError, RuntimeError):
            return bool(self._call("GET", "/health"))
        return False

    def _call(self, method: str, path: str, body: Body | None = None) -> Body:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3600)
        try:
            sent = json.dumps(body) if body else None
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
            if response.status != http.HTTPStatus.OK:
                raise RuntimeError(f"{path} answered {response.status}: {raw[:200]!r}")
            answer: Body = json.loads(raw)
            return answer
        finally:
            connection.close()


class Single:
    """`Llama.create_chat_completion` of llama-cpp-python, one at a time."""

    def __init__(self, asked: Body) -> None:
        import llama_cpp

        kind = getattr(llama_cpp, f"GGML_TYPE_{asked['kv'].upper()}")
        self._llama = llama_cpp.Llama(
            asked["model"],
            n_ctx=asked["context"],
            n_threads=asked["threads"],
            n_threads_batch=asked["threads"],
            flash_attn=True,
            type_k=kind,
            type_v=kind,
            verbose=False,
        )
        self.version = f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"

    def ask(self, body: Body, schema: Body | None) -> Body:
        """With the schema in the form that this function takes."""
        if schema:
            body["response_format"] = {"type": "json_object", "schema": schema}
        answer: Body = self._llama.create_chat_completion(**body)
        return answer


ENGINES: dict[str, Callable[[Body], Engine]] = {"xllamacpp": Embedded, "server": Binary, "single": Single}


def main() -> None:
    """Serve until stdin closes."""
    # What a library prints must not come between the lines of answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines = iter(sys.stdin)
    asked = json.loads(next(lines))
    with _engine(asked) as engine:
        print(json.dumps({"version": engine.version}), file=answers, flush=True)
        # More than there are slots, so that none waits for the next job.
        most = 1 if asked["engine"] == "single" else 2 * asked["slots"]
        with ThreadPoolExecutor(most) as pool:
            for line in lines:
                done = list(pool.map(lambda job: _answer(engine, job), json.loads(line)["jobs"]))
                print(json.dumps({"answers": done}), file=answers, flush=True)


@contextlib.contextmanager
def _engine(asked: Body) -> Iterator[Engine]:
    engine = ENGINES[asked["engine"]](asked)
    try:
        yield engine
    finally:
        if isinstance(engine, Binary):
            engine.close()


def _answer(engine: Engine, job: Body) -> Body:
    body: Body = {"messages": job["messages"], "max_tokens": job["max_tokens"], "temperature": 0}
    done = engine.ask(body, job["schema"])
    (choice,) = done["choices"]
    usage = done["usage"]
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens")
    return {
        "text": choice["message"]["content"],
        "stop": "end" if choice["finish_reason"] == "stop" else "length",
        "tokens_in": usage["prompt_tokens"],
        "tokens_cached": cached,
        "tokens_out": usage["completion_tokens"],
    }


def _version_of(binary: str) -> str:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return next((line for line in (told.stderr + told.stdout).splitlines() if "version" in line), binary)


if __name__ == "__main__":
    main()
