"""The `vocabularies` section of the config: the words a task may choose from."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from agentd.config import parse_path

# A tag, as note programs take it: lower case, with / for a hierarchy.
_WORD = re.compile(r"[a-z0-9][a-z0-9/_-]{0,31}")
MAX_WORDS = 400  # of a vocabulary: what a schema and a prompt have room for


def is_word(word: str) -> bool:
    """Whether this can be a word of a vocabulary."""
    return _WORD.fullmatch(word) is not None


def parse_vocabulary(value: Any) -> dict[str, str]:
    """Words with a description each, from a mapping or a plain list; raises `ValueError` for a bad word."""
    if isinstance(value, list):
        value = dict.fromkeys(value, "")
    if not isinstance(value, dict) or not value:
        raise ValueError("a vocabulary is a list of words, or words with a description each")
    if len(value) > MAX_WORDS:
        raise ValueError(f"a vocabulary has at most {MAX_WORDS} words, this has {len(value):,}")
    words: dict[str, str] = {}
    for word, meaning in value.items():
        if not isinstance(word, str) or not is_word(word):
            raise ValueError(f"{word!r} is not a tag: use a-z, 0-9, - _ and /, at most 32 characters")
        words[word] = str(meaning or "")
    return words


def _parse(value: Any) -> dict[str, str] | Path:
    return parse_path(value) if isinstance(value, str) else parse_vocabulary(value)


# Words, or the path of a file with words, or of a folder whose notes have tags.
Vocabulary = Annotated[
    dict[str, str] | Path, BeforeValidator(_parse, json_schema_input_type=dict[str, str] | list[str] | str)
]
