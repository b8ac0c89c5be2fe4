"""Messages become one prompt, through the chat template that the model's file carries.

The template is a program from an untrusted file: it runs in Jinja's sandbox, for a second at most. The content
of messages never passes through it: marks stand in for it and are replaced afterwards, piece by piece, so that
only the template's own text can ever be read as control tokens.
"""

import contextlib
import re
import secrets
import signal
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agentd.errors import ModelUnavailable
from agentd.model import Message

SECONDS = 1.0
MAX_LENGTH = 100_000  # characters of the template's own text

# ChatML: what llama.cpp falls back to for a file without a template.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_OPEN_THOUGHT = re.compile(r"<think>\s*$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a prompt; only the template's own pieces may hold control tokens."""

    text: str
    message: int | None = None  # whose content this is; None for the template's own text

    @property
    def control(self) -> bool:
        """Whether control tokens are read in it."""
        return self.message is None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation, up to where the model goes on."""

    pieces: tuple[Piece, ...]
    thinking: bool  # the template left the model inside an open thought

    @property
    def text(self) -> str:
        """The prompt as one text."""
        return "".join(piece.text for piece in self.pieces)


class ChatTemplate:
    """A compiled template; raises `ModelUnavailable` where it is broken or runs too long."""

    def __init__(self, source: str | None, bos: str, eos: str) -> None:
        self._special = {"bos_token": bos, "eos_token": eos}
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
        try:
            with _time_bound(SECONDS):
                self._template = environment.from_string(source or DEFAULT_TEMPLATE)
        except Exception as broken:
            raise ModelUnavailable(f"the model's chat template is broken: {broken}") from broken
        # Tried out at once: a model whose template cannot be run is no model, and no job should find that out.
        self.render((Message("system", "."), Message("user", ".")))

    def render(self, messages: tuple[Message, ...]) -> Prompt:
        """The prompt of these messages. Models that can think aloud are told not to."""
        marks = {f"\ue000{secrets.token_hex(16)}\ue001": message.content for message in messages}
        turns = [{"role": message.role, "content": mark} for message, mark in zip(messages, marks, strict=True)]
        text = self._run(turns)
        pieces, rest = [], text
        for message, (mark, content) in enumerate(marks.items()):
            before, found, rest = rest.partition(mark)
            if not found:
                raise ModelUnavailable("the model's chat template leaves out or reorders messages")
            pieces += [Piece(before), Piece(content, message)]
        pieces.append(Piece(rest))
        return Prompt(tuple(pieces), thinking=bool(_OPEN_THOUGHT.search(rest)))

    def _run(self, turns: list[dict[str, str]]) -> str:
        arguments: dict[str, Any] = {
            "messages": turns,
            "add_generation_prompt": True,
            # The two names in use for it: Qwen and its kin, then DeepSeek V3.1 and Granite.
            "enable_thinking": False,
            "thinking": False,
            **self._special,
        }
        try:
            with _time_bound(SECONDS):
                parts, length = [], 0
                for part in self._template.generate(**arguments):
                    length += len(part)
                    if length > MAX_LENGTH:
                        raise ModelUnavailable("the model's chat template writes without end")
                    parts.append(part)
        except jinja2.TemplateError as broken:
            if turns[0]["role"] == "system" and len(turns) > 1:
                # Some templates refuse a system turn (Gemma's does): its text then leads the user's.
                merged = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
                return self._run([merged, *turns[2:]])
            raise ModelUnavailable(f"the model's chat template is broken: {broken}") from broken
        except ModelUnavailable:
            raise
        except Exception as broken:
            # A foreign program can fail in any way that Python has.
            raise ModelUnavailable(f"the model's chat template cannot be run: {broken}") from broken
        return "".join(parts)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox without the sums that take for ever or fill the memory in one step, which no alarm ends."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse every power, and a text or list that is repeated beyond `MAX_LENGTH`."""
        repeated = [side for side in (left, right) if isinstance(side, Sized)]
        times = [side for side in (left, right) if isinstance(side, int)]
        if operator == "**" or (repeated and times and len(repeated[0]) * times[0] > MAX_LENGTH):
            raise SecurityError(f"`{operator}` is too much for a chat template")
        return super().call_binop(context, operator, left, right)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


@contextlib.contextmanager
def _time_bound(seconds: float) -> Iterator[None]:
    """End the block after `seconds` with `TimeoutError`; main thread only, as the child's work is."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it ran for more than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
