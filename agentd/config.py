"""YAML text becomes a frozen, validated section, and every error names the file and the line.

Each room owns the model of its own section (`engine/settings.py`, `triggers/settings.py`, …), built from
`Section` and the types here; `daemon/settings.py` puts them together. Task files use the same reader for
their front matter. What any key means is not known here.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError
from pydantic_core import ErrorDetails

from agentd.errors import AgentdError, ConfigError

# A config beyond these is a mistake or an attack: an alias bomb of nine lines already has 10⁹ nodes.
MAX_BYTES = 256 * 1024
MAX_NODES = 20_000

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Section(BaseModel):
    """A part of the config: frozen, and with no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(value: object) -> float:
    """Seconds of `30s`, `5m`, `2h`, `1d` or `250ms`; raises `ValueError` for anything else."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    raise ValueError(f"{value!r} is not a duration: write it like 30s, 5m or 2h")


def parse_size(value: object) -> int:
    """Bytes of `512MiB`, `20KiB` or `4GiB`; raises `ValueError` for anything else."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _BYTES[match[2]])
    raise ValueError(f"{value!r} is not a size: write it like 512MiB or 4GiB")


def parse_path(value: object) -> Path:
    """An absolute path of a text with `~` and `$VARS`; raises `ValueError` for an unset variable."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a path")
    expanded = os.path.expandvars(value)
    if "$" in expanded:
        raise ValueError(f"{value!r} names a variable that is not set")
    return Path(expanded).expanduser().absolute()


# A union such as `Size | "auto"` hands its other members to the serializer too.
def _show_duration(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}s"


def _show_size(value: int | str) -> str:
    if isinstance(value, str):
        return value
    unit = next(unit for unit in reversed(_BYTES) if value % _BYTES[unit] == 0)
    return f"{value // _BYTES[unit]}{unit}"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(_show_duration, return_type=str),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size, json_schema_input_type=str),
    PlainSerializer(_show_size, return_type=str),
]
UserPath = Annotated[Path, BeforeValidator(parse_path, json_schema_input_type=str)]

SectionT = TypeVar("SectionT", bound=Section)


@dataclass(frozen=True, slots=True)
class Yaml:
    """Parsed YAML that still knows its lines."""

    file: Path
    data: Any
    lines: Mapping[tuple[str | int, ...], int]  # place in `data` → line in `file`
    error: type[AgentdError]  # what to raise about it

    def line(self, place: tuple[str | int, ...]) -> int:
        """The line of `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fail(self, place: tuple[str | int, ...], message: str) -> AgentdError:
        """An error about `place`, ready to be raised."""
        return self.error(f"{self.file}:{self.line(place)}: {message}")


def read_yaml(text: str, file: Path, *, first_line: int = 1, error: type[AgentdError] = ConfigError) -> Yaml:
    """Parse YAML with the safe tags only; raises `error` for bad syntax, double keys or an alias bomb."""
    if len(text) > MAX_BYTES:
        raise error(f"{file}:1: larger than {MAX_BYTES // 1024} KiB")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = _lines(root, file, first_line, error)
        data = yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark
        line = first_line + (mark.line if mark else 0)
        raise error(f"{file}:{line}: {broken.problem or 'not valid YAML'}") from broken
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise error(f"{file}:{first_line}: not valid YAML ({broken})") from broken
    return Yaml(file, data, lines, error)


def validate(source: Yaml, schema: type[SectionT]) -> SectionT:
    """Turn parsed YAML into a section; raises the error of `source` with every problem, a line each."""
    data = {} if source.data is None else source.data
    if not isinstance(data, dict):
        raise source.fail((), "expected keys and values")
    try:
        return schema.model_validate(data)
    except ValidationError as invalid:
        details = invalid.errors(include_url=False, include_context=False)
        raise source.error("\n".join(_describe(source, schema, detail) for detail in details)) from invalid


def _lines(
    root: yaml.Node | None, file: Path, first_line: int, error: type[AgentdError]
) -> dict[tuple[str | int, ...], int]:
    found: dict[tuple[str | int, ...], int] = {(): first_line}
    visited = 0
    stack: list[tuple[tuple[str | int, ...], yaml.Node]] = [((), root)] if root else []
    while stack:
        place, node = stack.pop()
        visited += 1
        if visited > MAX_NODES:
            raise error(f"{file}:{first_line}: more than {MAX_NODES:,} values once its aliases are followed")
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name, line = str(key.value), first_line + key.start_mark.line
                if name in seen:
                    raise error(f"{file}:{line}: the key `{name}` stands here twice")
                seen.add(name)
                found[(*place, name)] = line
                stack.append(((*place, name), value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[(*place, index)] = first_line + value.start_mark.line
                stack.append(((*place, index), value))
    return found


def _describe(source: Yaml, schema: type[Section], detail: ErrorDetails) -> str:
    place = detail["loc"]
    shown = ".".join(str(part) for part in place)
    if detail["type"] == "extra_forbidden":
        valid = _keys_at(schema, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), valid, n=1)
        guess = f"did you mean `{near[0]}`?" if near else f"the keys here are {', '.join(valid)}"
        message = f"unknown key `{shown}`: {guess}"
    elif detail["type"] == "missing":
        message = f"`{shown}` is missing"
    else:
        text = detail["msg"].removeprefix("Value error, ")
        message = f"`{shown}`: {text}" if shown else text
    return f"{source.file}:{source.line(place)}: {message}"


def _keys_at(schema: type[Section], place: tuple[str | int, ...]) -> list[str]:
    """The keys of the section at `place`; names and indexes of dicts and lists are passed over."""
    current: Any = schema
    for part in place:
        fields = current.model_fields if _is_section(current) else {}
        named = {field.alias or name: field for name, field in fields.items()}
        if str(part) in named:
            annotation = named[str(part)].annotation
            current = next(filter(_is_section, _unwrap(annotation)), None)
        if current is None:
            return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _unwrap(annotation: Any) -> list[Any]:
    found = [annotation]
    for inner in get_args(annotation):
        found += _unwrap(inner)
    return found


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
