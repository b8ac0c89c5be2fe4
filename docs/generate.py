"""What the documentation takes from the code, so that the two cannot drift apart. `make docs` runs it (cog)."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from sqlite_utils import Database

from agentd import errors
from agentd.actions.definition import ACTIONS
from agentd.actions.notify_settings import NotifyRule, NotifySettings, PlaceSettings
from agentd.actions.settings import ActionSettings, CommandSettings, WebhookSettings
from agentd.api import log_shapes, notice_shapes, schedule_shapes, shapes, status_shapes
from agentd.cli.main import COMMANDS, cli
from agentd.conditions import When, WhenOfClasses
from agentd.daemon.settings import Config
from agentd.engine.settings import KvCache, ModelSettings
from agentd.logs.news import NewsSettings
from agentd.logs.settings import JournalSettings, LogSettings
from agentd.store.migrations import migrations
from agentd.tasks.definition import TaskHeader
from agentd.triggers.schedule_settings import FolderInput, ScheduleSettings
from agentd.triggers.settings import WatchSettings

ROOT = Path(__file__).parents[1]


def command_pages() -> str:
    """Every command with its help, as `agentd COMMAND --help` prints it."""
    parts = []
    for name in COMMANDS:
        context = click.Context(cli, info_name="agentd")
        command = cli.get_command(context, name)
        assert command is not None
        parts += list(_command_pages(command, f"agentd {name}", context))
    return "\n".join(parts)


def _command_pages(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(
        command, info_name=name.rsplit(" ", 1)[-1], parent=parent, terminal_width=90, max_content_width=90
    )
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {name}\n\n```text\n{text}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _command_pages(found, f"{name} {child}", context)


def config_tables() -> str:
    """Every key of the config and of a task file, with type, default and meaning."""
    sections: list[tuple[str, Any]] = [
        ("The whole file", Config),
        ("models.NAME", ModelSettings),
        ("models.NAME.kv_cache", KvCache),
        ("watch[]", WatchSettings),
        ("watch[].when, logs[].when, when.triggered, when.backfill", When),
        ("logs[]", LogSettings),
        ("logs[].journald", JournalSettings),
        ("logs[].news", NewsSettings),
        ("schedule[]", ScheduleSettings),
        ("schedule[].input", FolderInput),
        ("actions", ActionSettings),
        ("actions.webhooks.NAME", WebhookSettings),
        ("actions.commands.NAME", CommandSettings),
        ("notify", NotifySettings),
        ("notify.rules[]", NotifyRule),
        ("notify.to.NAME", PlaceSettings),
        ("Front matter of a task file", TaskHeader),
    ]
    return "\n".join(f"## {title}\n\n{_keys(section)}" for title, section in sections)


def action_tables() -> str:
    """Every kind of action that a task may have, with its keys."""
    return "\n".join(f"### {action.kind}\n\n{action.__doc__}\n\n{_keys(action)}" for action in ACTIONS)


def _keys(section: Any) -> str:
    schema = section.model_json_schema(mode="validation")
    defaults = section.model_construct().model_dump(mode="json", warnings=False)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        key = field.alias or name
        default = "required" if field.is_required() else f"`{_default(key, field, defaults)}`"
        kind = _type(schema["properties"][key])
        rows.append(f"| `{key}` | {kind} | {default} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def _default(key: str, field: Any, defaults: dict[str, Any]) -> str:
    value = defaults[key]
    if field.annotation in (When, WhenOfClasses):
        return "{}"  # asks for nothing
    if isinstance(value, dict):
        return "{main: {path: starter}}" if key == "models" else str(value or "{}").replace("'", "")
    return (
        ", ".join(value) or "[]"
        if isinstance(value, list)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return "mapping"
    return {"object": "mapping", "array": "list", "string": "text"}.get(schema["type"], schema["type"])


def json_shapes() -> str:
    """Every JSON shape, from the TypedDicts and their comments."""
    return "\n".join(
        part
        for module in (shapes, status_shapes, log_shapes, notice_shapes, schedule_shapes)
        for part in _shapes_of(module)
    )


def _shapes_of(module: ModuleType) -> Iterator[str]:
    source = inspect.getsource(module)
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        rows = [f"## {node.name.removesuffix('Shape')}", "", ast.get_docstring(node) or "", ""]
        rows += ["| key | type | |", "|---|---|---|"]
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                _, _, comment = lines[field.lineno - 1].partition("  # ")
                kind = ast.unparse(field.annotation).replace("Shape", "").replace("|", "\\|")
                if kind.startswith("NotRequired"):
                    kind = kind.removeprefix("NotRequired[").removesuffix("]") + ", if any"
                rows.append(f"| `{field.target.id}` | {kind} | {comment} |")
        yield "\n".join(rows) + "\n"


def database_schema() -> str:
    """The schema that all migrations give."""
    db = Database(memory=True)
    migrations.apply(db)
    shown = [table.schema for table in db.tables if not re.search(r"_fts_|^_|^sqlite_", table.name)]
    db.close()
    return "```sql\n" + ";\n\n".join(shown) + ";\n```\n"


def error_table() -> str:
    """Every named error: its code, what it means, its exit code, and whether it is tried again."""
    rows = ["| code | meaning | exit code | tried again |", "|---|---|---|---|"]
    for kind in _errors(errors.AgentdError):
        again = "yes" if kind.retryable else "no"
        rows.append(f"| `{kind.code}` | {(kind.__doc__ or '').strip()} | {kind.exit_code} | {again} |")
    return "\n".join(rows) + "\n"


def _errors(kind: type[errors.AgentdError]) -> Iterator[type[errors.AgentdError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _errors(child)


def file_map() -> str:
    """Every module with the first line of its docstring."""
    rows = []
    for room in sorted({file.parent for file in (ROOT / "agentd").rglob("*.py")}):
        for file in sorted(room.glob("*.py")):
            said = ast.get_docstring(ast.parse(file.read_text())) or ""
            first = " ".join(said.split("\n\n")[0].split())
            name = file.relative_to(ROOT).as_posix()
            if file.name == "__init__.py":
                name = f"{room.relative_to(ROOT).as_posix()}/"
            rows.append(f"{name:<32} {first}")
    return "```text\n" + "\n".join(rows) + "\n```\n"
