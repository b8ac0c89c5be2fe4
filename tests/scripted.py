"""A `Model` that says what it was told to, in order; a call that was not expected fails the test."""

from typing import Any

from agentd.model import Generation, Message, ModelInfo, OnText, Rendered, Request
from agentd.records import Priority

INFO = ModelInfo(
    path="/models/m.gguf",
    description="scripted",
    sha256="abcdef" * 10 + "abcd",
    context=1000,
    kv_cache="q8_0/q8_0",
    gpu_layers=0,
    layers=1,
    gpu_in_build=False,
)


def generation(text: str, stop: str = "end", **probabilities: dict[str, float]) -> Generation:
    """An answer with some numbers, and what was chosen by score in it."""
    return Generation(
        *(text, stop),
        tokens_in=30,
        tokens_cached=10,
        tokens_out=8,
        seconds=0.5,
        engine_seconds=0.125,
        probabilities=probabilities,
    )


class ScriptedModel:
    """Answers each request with the next of its texts, or raises it where it is an error."""

    def __init__(self, *answers: str | Exception | Generation, tokens: int = 30) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.tokens = tokens  # of every prompt
        self.info = INFO

    async def render(self, messages: tuple[Message, ...], priority: Priority = Priority.TRIGGERED) -> Rendered:
        return Rendered("\n".join(message.content for message in messages), self.tokens)

    async def check_schema(self, schema: dict[str, Any]) -> None:
        raise AssertionError("nobody should check a schema here")

    async def generate(self, request: Request, on_text: OnText | None = None) -> Generation:
        assert self.answers, f"an unexpected request: {request}"
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        done = answer if isinstance(answer, Generation) else generation(answer)
        if on_text:
            for start in range(0, len(done.text), 3):
                on_text(done.text[start : start + 3])
        return done
