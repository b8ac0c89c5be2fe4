"""Answers held to a schema while they are generated, through llguidance.

llguidance answers a bad schema with an error, where llama.cpp's own grammars crash the process. Beside JSON
Schema two keywords are known, `model.WORDS_OF` and `model.IN_ORDER`: a string made of words of a text, and a list
of choices in their order, so that a quote cannot be made up and a sentence not be told twice. Both are compiled to
a Lark grammar around the JSON parts.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import llguidance
import llguidance.numpy
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from agentd.errors import BadSchema
from agentd.model import IN_ORDER, WORDS_OF

_COMPACT = {"whitespace_flexible": False}
# Of the schemas that are kept compiled, at about a megabyte for 5,000 of them: those of tasks stay, those that
# name the sentences of one part of a document pass through.
MOST_CHARACTERS = 64 * 1024


def compile_schema(schema: dict[str, Any]) -> str:
    """The llguidance grammar of a schema; raises `BadSchema`."""
    try:
        grammar = _grammar(schema)
    except RecursionError:
        raise BadSchema("the output schema cannot be compiled: it is nested too deeply") from None
    failed, warnings = LLMatcher.validate_grammar_with_warnings(grammar)
    if failed:
        raise BadSchema(f"the output schema cannot be compiled: {warnings[0] if warnings else 'no reason'}")
    return grammar


def _grammar(schema: dict[str, Any]) -> str:
    if not _needs_lark(schema):
        return str(LLMatcher.grammar_from_json_schema(schema | {"x-guidance": _COMPACT}))
    return str(LLMatcher.grammar_from_lark(_Lark().compile(schema)))


class Compiler:
    """Makes constraints for one vocabulary; those of schemas that come again are copied, not compiled again."""

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._fresh: OrderedDict[str, LLMatcher] = OrderedDict()
        self._characters = 0

    def __call__(self, schema: dict[str, Any]) -> "Constraint":
        """The constraint of a schema, at its beginning; raises `BadSchema`."""
        try:
            key = json.dumps(schema)
        except RecursionError:
            raise BadSchema("the output schema cannot be compiled: it is nested too deeply") from None
        if key not in self._fresh:
            self._fresh[key] = LLMatcher(self._tokenizer, compile_schema(schema))
            self._characters += len(key)
            while self._characters > MOST_CHARACTERS and len(self._fresh) > 1:
                oldest, _ = self._fresh.popitem(last=False)
                self._characters -= len(oldest)
        self._fresh.move_to_end(key)
        return Constraint(self._fresh[key].deep_copy(), self._tokenizer.vocab_size)


class Constraint:
    """What may come next in one answer."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._mask = llguidance.numpy.allocate_token_bitmask(1, vocab_size)
        self._check()

    def pick(self, logits: NDArray[np.float32], avoid: Sequence[int] = ()) -> int:
        """The most likely token that may come next, one of `avoid` only if no other may; writes to `logits`."""
        llguidance.numpy.fill_next_token_bitmask(self._matcher, self._mask)
        self._check()
        best = int(np.argmax(logits))
        # Most often the likeliest token is allowed, and the others need not be looked at.
        if self._allows(best) and best not in avoid:
            return best
        allowed = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: len(logits)].view(np.bool_)
        logits[: len(allowed)][~allowed] = -np.inf
        logits[len(allowed) :] = -np.inf
        best = int(np.argmax(logits))
        if best in avoid:
            logits[list(avoid)] = -np.inf
            other = int(np.argmax(logits))
            return other if np.isfinite(logits[other]) else best
        return best

    def _allows(self, token: int) -> bool:
        word = token >> 5
        return word < self._mask.shape[1] and bool((int(self._mask[0, word]) >> (token & 31)) & 1)

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


def _needs_lark(schema: Any) -> bool:
    if isinstance(schema, dict):
        return WORDS_OF in schema or IN_ORDER in schema or any(_needs_lark(value) for value in schema.values())
    return isinstance(schema, list) and any(_needs_lark(value) for value in schema)


class _Lark:
    """Writes a Lark grammar of objects, bounded arrays, choices and bound strings around `%json` parts.

    An object that holds a bound string is written with all its properties, required or not.
    """

    def __init__(self) -> None:
        self._rules: list[str] = []

    def compile(self, schema: dict[str, Any]) -> str:
        start = self._rule(schema)
        return "\n".join([f"start: {start}", *self._rules]) + "\n"

    def _rule(self, schema: dict[str, Any]) -> str:
        if WORDS_OF in schema:
            return self._words(schema[WORDS_OF])
        if not _needs_lark(schema):
            return self._add("%json " + json.dumps(schema | {"x-guidance": _COMPACT}))
        if "anyOf" in schema:
            return self._add(" | ".join(self._choice(choice) for choice in schema["anyOf"]))
        if schema.get("type") == "object":
            return self._object(schema)
        if IN_ORDER in schema:
            return self._in_order(schema)
        if schema.get("type") == "array":
            return self._array(schema)
        raise BadSchema(f"{WORDS_OF} or {IN_ORDER} stands below a keyword that cannot hold it")

    def _choice(self, schema: dict[str, Any]) -> str:
        # The lexer takes the longest match: were one choice to begin with `{` and the next with `{"found":`,
        # the first could never be taken. So every object that is a choice is written the same way.
        if schema.get("type") == "object" and schema.get("properties"):
            return self._object(schema)
        return self._rule(schema)

    def _object(self, schema: dict[str, Any]) -> str:
        parts = []
        for position, (name, value) in enumerate(schema["properties"].items()):
            lead = ("{" if position == 0 else ",") + json.dumps(name) + ":"
            parts += [json.dumps(lead), self._rule(value)]
        return self._add(" ".join([*parts, '"}"']))

    def _array(self, schema: dict[str, Any]) -> str:
        low, high = schema.get("minItems", 0), schema.get("maxItems", 0)
        if not 0 <= low <= high or not high:
            raise BadSchema(f"an array of {WORDS_OF} needs minItems and maxItems in order, not {low} and {high}")
        item = self._rule(schema["items"])
        rest = f'("," {item}){{{max(low - 1, 0)},{high - 1}}}'
        body = f'"[" {item} {rest} "]"'
        return self._add(body if low else f'{body} | "[]"')

    def _in_order(self, schema: dict[str, Any]) -> str:
        """A chain of rules, each of which takes a choice or passes it over: its length is items × choices."""
        choices, count = schema["items"]["enum"], schema["maxItems"]
        if schema["minItems"] != count or not 1 <= count <= len(choices):
            raise BadSchema(f"a list in order needs minItems equal to maxItems, at most {len(choices)}")
        texts = [self._add(json.dumps(json.dumps(choice, ensure_ascii=False))) for choice in choices]
        last: list[str | None] = [None] * (len(choices) + 1)  # rules for what may follow from each choice on
        for left in range(1, count + 1):
            rules: list[str | None] = [None] * (len(choices) + 1)
            for index in range(len(choices) - left, -1, -1):
                take = f'{texts[index]} "," {last[index + 1]}' if left > 1 else texts[index]
                skip = rules[index + 1]
                rules[index] = self._add(f"{take} | {skip}" if skip else take)
            last = rules
        return self._add(f'"[" {last[0]} "]"')

    def _words(self, text: str) -> str:
        # The answer is JSON, so the words are matched as JSON writes them. Line ends and control characters
        # only part words: their escapes hold letters, and a quote could end within one.
        escaped = json.dumps(re.sub(r"[\x00-\x1f]+", " ", text), ensure_ascii=False)[1:-1]
        terminal = f"WORDS{len(self._rules)}"
        self._rules.append(f'{terminal}: %regex {{"substring_words": {json.dumps(escaped)}}}')
        return self._add(rf'"\"" {terminal} "\""')

    def _add(self, body: str) -> str:
        name = f"part{len(self._rules)}"
        self._rules.append(f"{name}: {body}")
        return name
