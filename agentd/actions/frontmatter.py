"""Set keys of a note's front matter, and touch nothing else: not a byte of the text, not a line of another key.

The header is parsed by ruamel.yaml, which knows where each value stands; only the lines of the keys that change
are written anew, in the style of what stood there. What comes out is parsed again and compared before it is given
to anybody.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from agentd.errors import NotEditable

MAX_HEADER = 64 * 1024  # bytes
MAX_ALIASES = 20  # a header with more is an attack, or no header
_BOM = b"\xef\xbb\xbf"
_OPEN = re.compile(rb"---[ \t]*(\r?\n)")
_CLOSE = re.compile(rb"^(---|\.\.\.)[ \t]*(\r?\n|\Z)", re.MULTILINE)
_KEY = re.compile(rb"[ \t]*[\w\"'-][^:#\n]*:(\s|$)|(---|\.\.\.)[ \t]*(\r?\n|\Z)")
_SAYS_NOTHING = re.compile(rb"([ \t]*(#[^\n]*)?\r?\n)*")
_OTHER = {b"+++": "TOML", b"{": "JSON"}  # headers of another kind, by their first line
_ODD = re.compile(rb"[?{%&!]")  # begins YAML, too, but none that anybody writes into a note
_COMMENTED = re.compile(r"^[ \t]*[|>][-+0-9]*[ \t]+#|[ \t]#[^\n]*\n|\n[ \t]*#")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class _Split:
    """A note in three: up to its header, the header, and from the line that ends it."""

    lead: bytes
    header: bytes
    rest: bytes
    newline: bytes


def set_keys(raw: bytes, values: Mapping[str, Any], name: str) -> bytes:
    """The note with these keys in its front matter, which is made where there is none.

    Values are strings, numbers, booleans, or lists of them. Raises `NotEditable` for a header that is no YAML
    mapping, has a key twice, or in which a value cannot be replaced alone.
    """
    split = _split(raw, name)
    text = _decode(split.header, name)
    before = parse_header(text, name)
    edited = text
    for key, value in values.items():
        edited = _set(edited, key, value, split.newline.decode(), name)
    expected = {**before, **values}
    if parse_header(edited, name) != expected:
        raise NotEditable(f"the front matter of {name} cannot be changed at {', '.join(values)} alone")
    return split.lead + edited.encode() + split.rest


def check_text(raw: bytes, name: str) -> None:
    """Raise `NotEditable` for what is no UTF-8 text, to which none may be added."""
    if b"\0" in raw or raw.startswith(_UTF_16):
        raise NotEditable(f"{name} is no UTF-8 text")


def _split(raw: bytes, name: str) -> _Split:
    check_text(raw, name)
    lead = _BOM if raw.startswith(_BOM) else b""
    if other := _OTHER.get(raw[len(lead) :].split(b"\n", 1)[0].strip()):
        raise NotEditable(f"{name}:1: this front matter is {other}, which is left as it is")
    opened = _OPEN.match(raw, len(lead))
    gap = _SAYS_NOTHING.match(raw, opened.end()) if opened else None
    if opened and gap and _KEY.match(raw, gap.end()):
        if closed := _CLOSE.search(raw, opened.end()):
            header = raw[opened.end() : closed.start()]
            if len(header) > MAX_HEADER:
                raise NotEditable(f"the front matter of {name} is larger than {MAX_HEADER // 1024} KiB")
            return _Split(raw[: opened.end()], header, raw[closed.start() :], opened[1])
        if not gap[0]:
            raise NotEditable(f"{name}:1: the front matter opened by `---` is never closed")
    elif opened and gap and _ODD.match(raw, gap.end()) and _CLOSE.search(raw, opened.end()):
        raise NotEditable(f"{name}:1: this front matter does not begin with lines of `key: value`")
    newline = b"\r\n" if b"\r\n" in raw[:4096] else b"\n"
    return _Split(lead + b"---" + newline, b"", b"---" + newline + raw[len(lead) :], newline)


def _decode(header: bytes, name: str) -> str:
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError as broken:
        raise NotEditable(f"the front matter of {name} is not valid UTF-8") from broken


def _yaml() -> YAML:
    parser = YAML(typ="safe", pure=True)
    parser.allow_duplicate_keys = False
    return parser


def parse_header(text: str, name: str) -> dict[str, Any]:
    """What a front matter says, without its lines of ---; raises `NotEditable`."""
    # Aliases multiply what they stand for: counted before anything is built.
    if len(re.findall(r"(?:^|[\s,\[{:])\*[\w-]", text)) > MAX_ALIASES:
        raise NotEditable(f"the front matter of {name} has more than {MAX_ALIASES} aliases")
    try:
        data = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError, AttributeError, TypeError) as broken:
        told = str(broken).strip().split("\n")[0]
        raise NotEditable(f"the front matter of {name} is no YAML that can be edited: {told}") from broken
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise NotEditable(f"the front matter of {name} is no mapping of words")
    return data


def _set(text: str, key: str, value: Any, newline: str, name: str) -> str:
    """The header with one key set."""
    node = _yaml().compose(text) if text.strip() else None
    if node is None or isinstance(node, ScalarNode):
        return _end_line(text, newline) + _render(key, value, newline, flow=False)
    if not isinstance(node, MappingNode) or node.flow_style:
        raise NotEditable(f"the front matter of {name} is written in one pair of braces")
    for key_node, value_node in node.value:
        if key_node.value == key:
            return _replace(text, key_node, value_node, value, newline, name)
    indent = " " * node.start_mark.column
    return _end_line(text, newline) + _render(key, value, newline, flow=_likes_flow(node), indent=indent)


def _replace(text: str, key_node: Node, old: Node, value: Any, newline: str, name: str) -> str:
    """The header with the value of one key replaced, in its own style, and with the comments beside it."""
    if old.anchor is not None:
        raise NotEditable(f"in the front matter of {name} other keys refer to `{key_node.value}`")
    end = _value_end(text, old)
    if isinstance(old, SequenceNode) and text[old.start_mark.index] == "-" and isinstance(value, list) and value:
        return _replace_items(text, old, end, value, newline)
    colon = text.index(":", key_node.end_mark.index) + 1
    if _COMMENTED.search(text[colon : max(end, colon)]):
        raise NotEditable(f"in the front matter of {name} there is a comment inside `{key_node.value}`")
    return f"{text[:colon]} {_flow(value)}{text[max(end, colon) :]}"


def _replace_items(text: str, old: SequenceNode, end: int, value: list[Any], newline: str) -> str:
    """The header with the items of a list replaced that are others now; what stands beside the key stays."""
    begin = text.rfind("\n", 0, old.start_mark.index) + 1
    indent = " " * old.start_mark.column
    same = 0
    while same < min(len(old.value), len(value)) and _says(text, old.value[same], value[same]):
        same += 1
    new = [f"{indent}- {_scalar(item)}" for item in value[same:]]
    if same == len(old.value):
        line_end = text.find("\n", end) + 1 or len(text)
        added = "".join(f"{line}{newline}" for line in new)
        return _end_line(text[:line_end], newline) + added + text[line_end:]
    if same:
        begin = text.rfind("\n", 0, old.value[same].start_mark.index) + 1
    comments = [line for line in text[begin:end].splitlines() if line.lstrip().startswith("#")]
    lines = newline.join([*comments, *new])
    if new:
        return text[:begin] + lines + text[end:]
    return text[:begin] + "".join(f"{line}{newline}" for line in comments) + text[text.find("\n", end) + 1 :]


def _says(text: str, node: Node, value: Any) -> bool:
    """Whether an item is this value, in whatever quotes."""
    if not isinstance(node, ScalarNode) or node.style in ("|", ">"):
        return False
    return bool(_yaml().load(text[node.start_mark.index : node.end_mark.index]) == value)


def _value_end(text: str, node: Node) -> int:
    """Where a value ends, without the comments and blank lines after it, which belong to nobody or to the next."""
    end: int = node.end_mark.index
    if isinstance(node, SequenceNode | MappingNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _value_end(text, last[1] if isinstance(node, MappingNode) else last)
    if isinstance(node, ScalarNode):
        if node.start_mark.index == end:
            return 0  # nothing stands there
        if node.style in ("|", ">"):
            return len(text[:end].rstrip())
    return end


def _render(key: str, value: Any, newline: str, *, flow: bool, indent: str = "") -> str:
    """The lines of one key."""
    if isinstance(value, list) and value and not flow:
        items = "".join(f"{indent}  - {_scalar(item)}{newline}" for item in value)
        return f"{indent}{_scalar(key)}:{newline}{items}"
    return f"{indent}{_scalar(key)}: {_flow(value)}{newline}"


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item, within=True) for item in value)}]"
    return _scalar(value)


def _scalar(value: Any, *, within: bool = False) -> str:
    """One value on one line; quoted where any YAML would take the words for something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = f"[{value}]" if within else value
    try:
        # YAML 1.1 takes more words for numbers and truths than 1.2 does; both must read what was meant.
        meant = [value] if within else value
        same = yaml.safe_load(plain) == meant and _yaml().load(plain) == meant and "\n" not in value
    except (YAMLError, yaml.YAMLError, ValueError):
        same = False
    return value if same else json.dumps(value, ensure_ascii=False)


def _likes_flow(node: MappingNode) -> bool:
    """Whether the lists of this header stand on one line."""
    lists = [value for _, value in node.value if isinstance(value, SequenceNode)]
    return bool(lists) and all(value.flow_style for value in lists)


def _end_line(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline
