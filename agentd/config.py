"""YAML text becomes a frozen, validated section, and every error names the file and the line.

Each room owns the model of its own section (`engine/settings.py`, `triggers/settings.py`, …), built from
`Section` and the types here; `daemon/settings.py` puts them together. Task files use the same reader for
their front matter. What any key means is not known here.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from agentd.errors import AgentdError, ConfigError

# A config beyond these is a mistake or an attack: an alias bomb of nine lines already has 10⁹ nodes.
MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


Place = tuple[str | int, ...]

# What pydantic says in the words of Python, in those of YAML.
_PLAIN = {
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "tuple_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
}


class Section(BaseModel):
    """A part of the config: frozen, and with no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    # Keys that were called otherwise in earlier versions, old name to new: taken still, with a warning.
    renamed: ClassVar[Mapping[str, str]] = {}


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
    if "\0" in expanded:
        raise ValueError(f"{value!r} has a NUL character")
    try:
        return Path(expanded).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{value!r} names a user who is not known here") from None


# A union such as `Size | "auto"` hands its other members to the serializer too.
def _show_duration(value: float | str) -> str:
    # To the millisecond and never as 1e+06, so that it can be read again.
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".") + "s"


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
    lines: Mapping[Place, int]  # place in `data` → line in `file`
    error: type[AgentdError]  # what to raise about it

    def line(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fail(self, place: Place, message: str) -> AgentdError:
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


def validate(source: Yaml, schema: type[SectionT], warn: Callable[[str], object] = lambda told: None) -> SectionT:
    """Turn parsed YAML into a section; raises the error of `source` with every problem, a line each.

    `warn` is told of every key that stands there by the name it had in an earlier version.
    """
    if not isinstance(source.data, dict | None):
        raise source.fail((), "expected keys and values")
    source = _renew(source, schema, warn)
    try:
        return schema.model_validate(source.data)
    except ValidationError as invalid:
        details = invalid.errors(include_url=False, include_context=False)
        raise source.error("\n".join(_describe(source, schema, details))) from invalid


def _renew(source: Yaml, schema: type[Section], warn: Callable[[str], object]) -> Yaml:
    """The same with today's names of keys, which keep their lines; raises for a key that stands there by both."""
    lines: dict[Place, int] = {}

    def renew(value: Any, kinds: list[Any], old: Place, new: Place) -> Any:
        if old in source.lines:
            lines[new] = source.lines[old]
        if isinstance(value, list):
            return [
                renew(
                    item, [inner for kind in kinds for inner in _inside(kind, index)], (*old, index), (*new, index)
                )
                for index, item in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        names = {before: now for kind in kinds if _is_section(kind) for before, now in kind.renamed.items()}
        found: dict[Any, Any] = {}
        for key, item in value.items():
            name, place = names.get(key, key), (*old, str(key))
            if name != key and (name in value or name in found):
                raise source.fail(
                    place, f"`{_shown(place)}` is called `{name}` now, and both stand here: remove it"
                )
            if name != key:
                warn(f"{source.file}:{source.line(place)}: `{_shown(place)}` is called `{name}` now")
            inside = [inner for kind in kinds for inner in _inside(kind, str(name))]
            found[name] = renew(item, inside, place, (*new, str(name)))
        return found

    data = renew({} if source.data is None else source.data, [schema], (), ())
    return Yaml(source.file, data, lines, source.error)


def _lines(root: yaml.Node | None, file: Path, first_line: int, error: type[AgentdError]) -> dict[Place, int]:
    found: dict[Place, int] = {(): first_line}
    visited = 0
    stack: list[tuple[Place, yaml.Node]] = [((), root)] if root else []
    while stack:
        place, node = stack.pop()
        visited += 1
        if visited > MAX_NODES:
            raise error(f"{file}:{first_line}: more than {MAX_NODES:,} values once its aliases are followed")
        if len(place) > MAX_DEPTH:
            raise error(f"{file}:{first_line + node.start_mark.line}: nested deeper than {MAX_DEPTH}")
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


def _describe(source: Yaml, schema: type[Section], details: Sequence[ErrorDetails]) -> list[str]:
    """A line for every problem; what each member of a union says about one value is one problem."""
    problems: dict[tuple[Place, str], list[str]] = {}
    for detail in details:
        place, kind = detail["loc"], detail["type"]
        if kind == "extra_forbidden":
            place = _written(source, place)
            valid = _keys_at(schema, place[:-1])
            near = difflib.get_close_matches(str(place[-1]), valid, n=1)
            guess = f"did you mean `{near[0]}`?" if near else f"the keys here are {', '.join(valid)}"
            problems[place, f"unknown key `{_shown(place)}`: "] = [guess]
        elif kind == "missing":
            problems[place, f"`{_shown(place)}` is missing"] = []
        else:
            # pydantic adds the name of the union's member to the place.
            while place and place not in source.lines:
                place = place[:-1]
            text = _PLAIN.get(kind) or detail["msg"].removeprefix("Value error, ")
            text = text.replace("Input should be ", "expected ")
            problems.setdefault((place, f"`{_shown(place)}`: " if place else ""), []).append(text)
    return [
        f"{source.file}:{source.line(place)}: {lead}{', or '.join(texts)}"
        for (place, lead), texts in problems.items()
    ]


def _written(source: Yaml, place: Place) -> Place:
    """A place without the names of members of unions, which pydantic adds to it."""
    kept: Place = ()
    for part in place:
        kept = (*kept, part) if (*kept, part) in source.lines else kept
    return kept


def _shown(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _keys_at(schema: type[Section], place: Place) -> list[str]:
    """The keys of the section at `place`."""
    kinds: list[Any] = [schema]
    for part in place:
        kinds = [inner for kind in kinds for inner in _inside(kind, part)]
    return [name for kind in kinds if _is_section(kind) for name in _named(kind)]


def _inside(kind: Any, part: str | int) -> list[Any]:
    """What may stand at a key or an index of a section, dict or list."""
    if _is_section(kind):
        field = _named(kind).get(str(part))
        return _members(field.annotation) if field else []
    of = get_args(kind)
    return _members(of[1] if get_origin(kind) is dict else of[0]) if of else []


def _members(annotation: Any) -> list[Any]:
    """The kinds of which a value may be one."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
        return [member for kind in inner for member in _members(kind)]
    return [annotation]


def _named(section: type[Section]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
