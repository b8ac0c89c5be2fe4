"""Source code: the file as it is, with its functions, classes and types as places.

The grammars are tree-sitter's, which make something of broken files too. A language without a grammar here is
read as text.
"""

import importlib
from collections.abc import Iterator
from typing import BinaryIO

from tree_sitter import Language, Node, Parser

from agentd.readers.content import Content
from agentd.readers.decode import decode
from agentd.readers.kinds import language_of
from agentd.records import Place

# By the type of a node in any of the grammars, how what it defines is called.
_DEFINITIONS = {
    "function_definition": "function",
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "function_item": "function",
    "method_definition": "method",
    "method_declaration": "method",
    "constructor_declaration": "constructor",
    "method": "method",
    "singleton_method": "method",
    "class_definition": "class",
    "class_declaration": "class",
    "abstract_class_declaration": "class",
    "class_specifier": "class",
    "class": "class",
    "struct_specifier": "struct",
    "struct_item": "struct",
    "union_specifier": "union",
    "enum_specifier": "enum",
    "enum_item": "enum",
    "enum_declaration": "enum",
    "trait_item": "trait",
    "impl_item": "impl",
    "interface_declaration": "interface",
    "record_declaration": "record",
    "module": "module",
    "namespace_definition": "namespace",
    "mod_item": "module",
    "type_spec": "type",
    "type_alias_declaration": "type",
}
_NAMED_BY = ("name", "declarator", "type")


def read(file: BinaryIO, name: str) -> Content:
    """The text of a source file; its symbols are places, whose lines count as in the file."""
    raw = file.read()
    text = decode(raw, name)
    language = language_of(name, text)
    if language is None:
        return Content(text)
    tree = Parser(_load(language)).parse(text.encode())
    return Content(text, tuple(_places(tree.root_node)))


def _load(language: str) -> Language:
    module = importlib.import_module(f"tree_sitter_{'typescript' if language == 'tsx' else language}")
    get = getattr(module, f"language_{language}" if language in ("typescript", "tsx") else "language")
    return Language(get())


def _places(root: Node) -> Iterator[Place]:
    """A place where a symbol begins, and one where the code around it goes on."""
    found: dict[int, str] = {1: ""}
    stack: list[tuple[Node, str]] = [(root, "")]
    spans: list[tuple[int, int, str]] = []
    while stack:
        node, around = stack.pop()
        named = _symbol(node) if node.is_named and node.parent is not None else None
        inside = around
        if named:
            kind, own = named
            inside = f"{around}.{own}" if around else own
            spans.append((node.start_point.row + 1, node.end_point.row + 1, f"{kind} {inside}"))
        stack += [(child, inside) for child in node.children]
    # Inner symbols come later in the list of their line: they begin after what holds them.
    for first, last, shown in sorted(spans, key=lambda span: (span[0], -span[1])):
        after = found.get(last + 1)
        found[first] = shown
        if after is None:
            outer = [span for span in spans if span[0] < first and span[1] > last]
            found[last + 1] = max(outer, key=lambda span: span[0])[2] if outer else ""
    for line, shown in sorted(found.items()):
        yield Place(line, shown, "line", line)


def _symbol(node: Node) -> tuple[str, str] | None:
    """The kind and the name of what a node defines."""
    kind = _DEFINITIONS.get(node.type)
    if kind is None:
        return None
    for field in _NAMED_BY:
        named = node.child_by_field_name(field)
        while named is not None and (inner := named.child_by_field_name("declarator")):
            named = inner  # C: int *(main)(…)
        if named is not None and named.text:
            return kind, " ".join(named.text.decode("utf-8", "replace").split())[:80]
    return None
