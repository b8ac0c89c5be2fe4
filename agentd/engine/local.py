"""A GGUF model as the child runs it: a request becomes tokens, a constraint and a program in the batch.

It binds the vocabulary, the chat template, the constraint compiler and the batch of one loaded model. It knows
nothing of sockets, of the queue or of who asks.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentd.engine import score
from agentd.engine.answer import THOUGHT_TOKENS, Answer, Choices
from agentd.engine.chat import ChatTemplate, Prompt
from agentd.engine.choice import Choice
from agentd.engine.constraint import Compiler
from agentd.engine.loading import load
from agentd.engine.member import Entry
from agentd.engine.repack import OnProgress
from agentd.engine.settings import ModelSettings
from agentd.engine.step import News
from agentd.errors import TooLong
from agentd.model import Load, ModelInfo, Rendered, Request

MOST_BASELINES = 256  # scores of empty inputs: one a task and property


class LocalModel:
    """A model in this process. Raises `ModelUnavailable` where it cannot be loaded.

    `folder` is where saved prefixes and converted weights are kept; without one, nothing is kept. `on_convert` is
    told how far a copy of the weights is, where one has to be made first. `hurry` says, from within a step, if
    somebody came who should not wait for its end.
    """

    def __init__(
        self,
        settings: ModelSettings,
        choice: Choice | None = None,
        folder: Path | None = None,
        on_convert: OnProgress | None = None,
        hurry: Callable[[], bool] | None = None,
    ) -> None:
        loaded = load(settings, choice, folder, on_convert)
        self.info: ModelInfo = loaded.info
        self._model, self._context = loaded.model, loaded.context
        self._template = ChatTemplate(self._model.chat_template, self._model.bos_text, self._model.eos_text)
        self._compile = Compiler(self._model.constraint_tokenizer())
        self._batch = loaded.open_batch(hurry)
        self._baselines: dict[tuple[Any, ...], list[float]] = {}

    def close(self) -> None:
        """Free the model: nothing can be asked of it any more."""
        self._context.close()
        self._model.close()

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self._batch.busy

    def render(self, request: Request) -> Rendered:
        """The exact prompt of a request and its length."""
        prompt = self._template.render(request.messages)
        return Rendered(prompt.text, len(self._tokens(prompt)))

    def check_schema(self, schema: dict[str, Any]) -> None:
        """Raise `BadSchema` where this schema cannot be compiled for this model."""
        self._compile(schema)

    def add(self, number: int, request: Request) -> None:
        """Take a request into the batch; raises `TooLong` or `BadSchema`."""
        prompt = self._template.render(request.messages)
        tokens = self._tokens(prompt)
        aloud = THOUGHT_TOKENS if prompt.thinking else 0
        room = self.info.context - request.max_tokens - aloud
        if len(tokens) > room:
            raise TooLong(f"needs {len(tokens):,} tokens, room for {max(room, 0):,}")
        shared, choices = self._shared(prompt, request.shared), self._choices(request)
        if choices and tuple(choices.empty_prompt[: len(shared)]) != shared:
            shared = ()
        answer = Answer(
            self._model,
            tokens,
            request.max_tokens,
            schema=request.schema,
            compile_=self._compile,
            thinking=prompt.thinking,
            choices=choices,
        )
        cells = len(tokens) + max(request.max_tokens + aloud, answer.fork_tokens)
        if cells > self.info.cells:
            raise TooLong(f"scoring its choices needs {cells:,} tokens, room for {self.info.cells:,}")
        entry = Entry(number, request.priority, answer, len(tokens), shared, cells, request.seconds)
        self._batch.add(entry)

    def cancel(self, number: int) -> list[News]:
        """End a request at once."""
        return self._batch.cancel(number)

    def step(self) -> list[News]:
        """Evaluate one batch."""
        return self._batch.step()

    def load(self) -> Load:
        """What the engine is doing."""
        return self._batch.load()

    def _tokens(self, prompt: Prompt) -> list[int]:
        tokens: list[int] = []
        for piece in prompt.pieces:
            tokens += self._model.tokenize(piece.text, special=piece.control)
        bos = self._model.bos
        # Most templates write it; one that does not leaves it to whoever runs the model.
        return tokens if bos is None or tokens[:1] == [bos] else [bos, *tokens]

    def _shared(self, prompt: Prompt, messages: int) -> tuple[int, ...]:
        """The tokens before the content of the first message that is not shared."""
        before = []
        for piece in prompt.pieces:
            if piece.message is not None and piece.message >= messages:
                break
            before.append(piece)
        tokens = self._tokens(replace(prompt, pieces=tuple(before))) if messages else []
        return tuple(tokens)

    def _choices(self, request: Request) -> Choices | None:
        if not request.decide or request.schema is None:
            return None
        if len(self._baselines) > MOST_BASELINES:
            self._baselines.clear()
        return Choices(
            [score.decision(request.schema, name) for name in request.decide],
            tuple(self._tokens(self._template.render(request.empty))),
            self._baselines,
        )
