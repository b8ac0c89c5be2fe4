"""What a result would do: the changes that its task's actions come to. Nothing is read and nothing is done here.

Front matter that the owner has set stays as it is: only keys that are missing, or that still have what an earlier
change gave them, are planned. Where an action has nothing to do, there is no change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agentd.actions import definition, template
from agentd.actions.definition import LEAVE, Action
from agentd.actions.settings import ActionSettings
from agentd.inert import each_text, one_line, visible
from agentd.records import Document, Plan, path_of, source_of

_WITH_HEADER = ("markdown", "text")  # kinds of documents that can have front matter
_DESKTOP_TEXT = 500  # characters of a notification


@dataclass(frozen=True, slots=True)
class _Values:
    """What a template may name: as it is, for values and names, and as a part of a line in somebody's file."""

    plain: Mapping[str, Any]
    in_line: Mapping[str, Any]


def plan(
    actions: Sequence[Action],
    document: Document,
    output: Mapping[str, Any],
    settings: ActionSettings,
    *,
    present: Mapping[str, Any],
    ours: Mapping[str, Any],
    declined: Mapping[str, Any],
    unwanted: Sequence[tuple[str, Mapping[str, Any]]] = (),
    auto: bool,
    today: datetime,
) -> list[Plan]:
    """The changes of a result on a document.

    `present` is what the front matter says now, `ours` what earlier changes gave its keys, `declined` what a
    person refused or undid of those; `unwanted` are other kinds of changes, with their details, that a person did
    not want. `today` is in the owner's time zone.
    """
    path = path_of(document.source)
    given = {
        **{"stem": path.stem, "suffix": path.suffix, "name": path.name, "today": today.date().isoformat()},
        **{name: _plain(value) for name, value in output.items()},
    }
    values = _Values(each_text(given, visible), each_text(given, one_line))
    made: list[Plan] = []
    for action in actions:
        if isinstance(action, definition.FrontMatter) and document.kind not in _WITH_HEADER:
            continue
        details = _details(action, path, values, settings, present, ours, declined)
        if details is not None and (action.kind, details) not in unwanted:
            made.append(Plan(action.kind, document.source, details, auto))
    return made


def _details(
    action: Action,
    path: Path,
    values: _Values,
    settings: ActionSettings,
    present: Mapping[str, Any],
    ours: Mapping[str, Any],
    declined: Mapping[str, Any],
) -> dict[str, Any] | None:
    """What a change needs to know; None where there is nothing to do."""
    match action:
        case definition.FrontMatter():
            wanted = {key: template.fill_value(text, values.plain) for key, text in action.set.items()}
            changed = {
                key: value
                for key, value in wanted.items()
                if value not in (None, "", [])
                and value != present.get(key)
                and (present.get(key) in (None, "", []) or present[key] == ours.get(key))
                and (key not in declined or declined[key] != value)
            }
            return {"set": changed} if changed else None
        case definition.Sidecar():
            target = path.with_name(f"{path.stem}{action.suffix}")
            return {"to": source_of(target), "text": _lines(template.fill_lines(action.text, values.in_line))}
        case definition.Move() | definition.Copy():
            name = template.fill(action.to, values.plain).strip()
            if name == LEAVE or name not in settings.targets:
                return None
            parts = template.fill_path(action.name, values.plain) or [path.stem]
            return _filing(settings.targets[name].joinpath(*parts), path, action.on_conflict)
        case definition.Rename():
            parts = template.fill_path(action.name, values.plain)
            renamed = _filing(path.with_name(parts[-1]), path, action.on_conflict) if parts else None
            return None if renamed is None or renamed["to"] == source_of(path) else renamed
        case definition.Append():
            parts = template.fill_path(action.file, values.plain)
            if not parts:
                return None  # nothing says into which file
            target = settings.targets[action.to].joinpath(*parts)
            return {"to": source_of(target), "text": _lines(template.fill_lines(action.text, values.in_line))}
        case definition.Webhook():
            return {"to": action.to}
        case definition.Notify():
            if settings.notifications == "off":
                return None
            shown = template.fill(action.title, values.in_line), template.fill(action.text, values.in_line)
            return {"title": shown[0][:_DESKTOP_TEXT], "text": shown[1][:_DESKTOP_TEXT]}
        case definition.Command():
            return {"run": action.run}
    raise AssertionError(f"an action without a plan: {action.kind}")


def _filing(target: Path, path: Path, on_conflict: str) -> dict[str, Any]:
    """Where a file goes: under its new name, with the suffix that it has, and none where it has none."""
    if not path.suffix:
        target = target.with_name(target.name.replace(".", "-"))
    named = target if target.suffix.lower() == path.suffix.lower() else target.with_name(target.name + path.suffix)
    return {"to": source_of(named), "on_conflict": on_conflict}


def _plain(value: Any) -> Any:
    """What stands for a value in a template: of something that was found, such as a date, what it comes to."""
    return value["value"] if isinstance(value, dict) and {"value", "quote"} <= value.keys() else value


def _lines(text: str) -> str:
    return text.strip("\n") + "\n"
