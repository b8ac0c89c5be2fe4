"""The `vocabularies` section of the config: the words a task may choose from."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

# A tag, as note programs take it: lower case, with / for a hierarchy.
_WORD = re.compile(r"[a-z0-9][a-z0-9/_-]{0,31}")


def parse_vocabulary(value: Any) -> dict[str, str]:
    """Words with a description each, from a mapping or a plain list; raises `ValueError` for a bad word."""
    if isinstance(value, list):
        value = dict.fromkeys(value, "")
    if not isinstance(value, dict) or not value:
        raise ValueError("a vocabulary is a list of words, or words with a description each")
    words: dict[str, str] = {}
    for word, meaning in value.items():
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise ValueError(f"{word!r} is not a tag: use a-z, 0-9, - _ and /, at most 32 characters")
        words[word] = str(meaning or "")
    return words


Vocabulary = Annotated[
    dict[str, str], BeforeValidator(parse_vocabulary, json_schema_input_type=dict[str, str] | list[str])
]
