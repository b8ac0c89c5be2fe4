"""Answers held to a schema while they are generated, through llguidance.

llguidance answers a bad schema with an error, where llama.cpp's own grammars crash the process. Beside JSON
Schema one keyword is known, `model.WORDS_OF`: a string made of words of a text, in order, so that a quote
cannot be made up. It is compiled to a Lark grammar around the JSON parts. No tokens are chosen here.
"""

import json
from collections.abc import Sequence
from typing import Any

import llguidance
import llguidance.numpy
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from agentd.errors import BadSchema
from agentd.model import WORDS_OF

_COMPACT = {"whitespace_flexible": False}


def compile_schema(schema: dict[str, Any]) -> str:
    """The llguidance grammar of a schema; raises `BadSchema`."""
    if not _binds_words(schema):
        grammar = LLMatcher.grammar_from_json_schema(schema | {"x-guidance": _COMPACT})
    else:
        grammar = LLMatcher.grammar_from_lark(_Lark().compile(schema))
    failed, warnings = LLMatcher.validate_grammar_with_warnings(grammar)
    if failed:
        raise BadSchema(f"the output schema cannot be compiled: {warnings[0] if warnings else 'no reason'}")
    return str(grammar)


class Constraint:
    """What may come next in one answer."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokenizer, grammar)
        self._mask = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)
        self._check()

    def pick(self, logits: NDArray[np.float32], avoid: Sequence[int] = ()) -> int:
        """The most likely token that may come next, one of `avoid` only if no other may; writes to `logits`."""
        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask)
        self._check()
        llguidance.numpy.apply_token_bitmask_inplace(logits, self._mask)
        best = int(np.argmax(logits))
        if best in avoid:
            logits[list(avoid)] = -np.inf
            other = int(np.argmax(logits))
            return other if np.isfinite(logits[other]) else best
        return best

    def accept(self, token: int) -> list[int]:
        """Note the chosen token; return the ones that must follow it, already noted too."""
        self._matcher.consume_token(token)
        return self.forced()

    def forced(self) -> list[int]:
        """Tokens that the schema leaves no choice about, noted as taken."""
        forced = list(self._matcher.compute_ff_tokens())
        if forced:
            self._matcher.consume_tokens(forced)
        self._check()
        return forced

    @property
    def complete(self) -> bool:
        """Whether nothing more can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise BadSchema(f"the output schema cannot be followed: {self._matcher.get_error()}")


def _binds_words(schema: Any) -> bool:
    if isinstance(schema, dict):
        return WORDS_OF in schema or any(_binds_words(value) for value in schema.values())
    return isinstance(schema, list) and any(_binds_words(value) for value in schema)


class _Lark:
    """Writes a Lark grammar of objects, bounded arrays, choices and bound strings around `%json` parts."""

    def __init__(self) -> None:
        self._rules: list[str] = []

    def compile(self, schema: dict[str, Any]) -> str:
        start = self._rule(schema)
        return "\n".join([f"start: {start}", *self._rules]) + "\n"

    def _rule(self, schema: dict[str, Any]) -> str:
        if WORDS_OF in schema:
            return self._words(schema[WORDS_OF])
        if not _binds_words(schema):
            return self._add("%json " + json.dumps(schema | {"x-guidance": _COMPACT}))
        if "anyOf" in schema:
            return self._add(" | ".join(self._rule(choice) for choice in schema["anyOf"]))
        if schema.get("type") == "object":
            return self._object(schema)
        if schema.get("type") == "array":
            return self._array(schema)
        raise BadSchema(f"{WORDS_OF} stands below a keyword that cannot hold it")

    def _object(self, schema: dict[str, Any]) -> str:
        parts = []
        for position, (name, value) in enumerate(schema["properties"].items()):
            lead = ("{" if position == 0 else ",") + json.dumps(name) + ":"
            parts += [json.dumps(lead), self._rule(value)]
        return self._add(" ".join([*parts, '"}"']))

    def _array(self, schema: dict[str, Any]) -> str:
        low, high = schema.get("minItems", 0), schema["maxItems"]
        item = self._rule(schema["items"])
        rest = f'("," {item}){{{max(low - 1, 0)},{high - 1}}}'
        body = f'"[" {item} {rest} "]"'
        return self._add(body if low else f'{body} | "[]"')

    def _words(self, text: str) -> str:
        # The answer is JSON, so the words are matched as JSON writes them.
        escaped = json.dumps(text, ensure_ascii=False)[1:-1]
        terminal = f"WORDS{len(self._rules)}"
        self._rules.append(f'{terminal}: %regex {{"substring_words": {json.dumps(escaped)}}}')
        return self._add(rf'"\"" {terminal} "\""')

    def _add(self, body: str) -> str:
        name = f"part{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name
