"""The tags that the owner gave a note: in its front matter, or as #words in its text."""

import re
from pathlib import Path
from typing import Any

from agentd.config import read_yaml
from agentd.errors import InputError

_KEYS = ("tags", "tag", "keywords")
_HASHTAG = re.compile(r"(?:^|(?<=\s))#([^\W\d_][\w/-]*)(?![^\s.,;:!?)])", re.MULTILINE)
_COLOUR = re.compile(r"[0-9a-f]{3}|[0-9a-f]{6}", re.IGNORECASE)
_DIRECTIVES = frozenset(
    {"include", "define", "ifdef", "ifndef", "endif", "pragma", "import", "region", "endregion"}
)
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_SEPARATORS = re.compile(r"[,\s]+")


def read_tags(front_matter: str, text: str, source: str) -> tuple[str, ...]:
    """The tags of a note in lower case, each once; none where its front matter is no YAML."""
    return tuple(dict.fromkeys((*_of_header(front_matter, source), *_in_text(text))))


def _of_header(front_matter: str, source: str) -> list[str]:
    if not front_matter.strip():
        return []
    try:
        data = read_yaml(front_matter, Path(source), error=InputError).data
    except InputError:
        return []  # a note that is no good as evidence is still a note
    if not isinstance(data, dict):
        return []
    return [tag for key in _KEYS for tag in _words(data.get(key))]


def _words(value: Any) -> list[str]:
    match value:
        case str():
            return [plain(word) for word in _SEPARATORS.split(value) if plain(word)]
        case list():
            return [plain(word) for word in value if isinstance(word, str) and plain(word)]
    return []


def plain(tag: str) -> str:
    """A tag as vocabularies have it: lower case, no #, blanks as dashes."""
    return "-".join(tag.strip().lstrip("#").lower().split())


def _in_text(text: str) -> list[str]:
    found = (match[1] for match in _HASHTAG.finditer(_CODE.sub(" ", text)))
    return [plain(word) for word in found if not _COLOUR.fullmatch(word) and word not in _DIRECTIVES]
