"""The actions of a task file, read and checked: one class a kind, one explicit list of them.

Every field and every name is checked when the task is read: an action that could not be carried out is a broken
task, not a surprise later.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from agentd.actions import template
from agentd.actions.settings import ActionSettings
from agentd.config import Section
from agentd.errors import BadAction

# What a template may name beside the properties of the output.
OF_FILE = ("stem", "suffix", "name", "today")


class Action(Section):
    """One action. `templates` are the texts in it that name fields."""

    kind: ClassVar[str]
    of_file: ClassVar[bool] = False  # whether it needs one file, and cannot be about several

    def templates(self) -> list[str]:
        """The texts that may name fields."""
        return [value for value in self.__dict__.values() if isinstance(value, str)]

    def check(self, properties: Mapping[str, Any], settings: ActionSettings) -> None:
        """Raise `ValueError` where the config does not know what is named."""


class FrontMatter(Action):
    """Set keys of a note's front matter; keys that the owner has set stay."""

    kind = "frontmatter"
    of_file = True
    set: dict[str, Any] = Field(
        min_length=1,
        description="Values by key; one that is a single `{{ field }}` keeps its type, such as a list.",
    )

    def templates(self) -> list[str]:
        """The texts that may name fields."""
        return [value for value in self.set.values() if isinstance(value, str)]


class Sidecar(Action):
    """Write a file beside the document."""

    kind = "sidecar"
    of_file = True
    suffix: str = Field(
        ".agentd.md", pattern=r"^\.[\w.-]{1,40}$", description="What stands in place of the document's own."
    )
    text: str = Field(min_length=1, description="What is in it.")


OnConflict = Annotated[
    Literal["skip", "rename", "fail"],
    Field(
        description="What to do where the name is taken: nothing, take `NAME 2`, or fail. Nothing is overwritten."
    ),
]


class _Filing(Action):
    """To a target folder, under a name."""

    to: str = Field(
        description="The name of a target, or one field that is an enum of such names; `leave` stands for none."
    )
    name: str = Field("{{ stem }}", description="The new name, without its suffix; `/` begins a folder.")
    on_conflict: OnConflict = "rename"

    def check(self, properties: Mapping[str, Any], settings: ActionSettings) -> None:
        """Raise `ValueError` for a target that the config does not name."""
        for target in _values(self.to, properties):
            if target != LEAVE and target not in settings.targets:
                raise ValueError(
                    f"the config has no target `{target}`: add `actions: {{targets: {{{target}: ~/Documents/…}}}}`"
                )


class Move(_Filing):
    """Move the document into a target folder."""

    kind = "move"
    of_file = True


class Copy(_Filing):
    """Copy the document into a target folder."""

    kind = "copy"
    of_file = True


class Rename(Action):
    """Give the document another name in its own folder."""

    kind = "rename"
    of_file = True
    name: str = Field(min_length=1, description="The new name, without its suffix.")
    on_conflict: OnConflict = "rename"


class Append(Action):
    """Add a text to the end of a file in a target folder."""

    kind = "append"
    to: str = Field(description="The name of a target.")
    file: str = Field(min_length=1, description="The file in it, which is made where it is not there.")
    text: str = Field(
        min_length=1,
        description="What is added, on lines of its own; one with `{{ each field }}` for every item of that list.",
    )

    def check(self, properties: Mapping[str, Any], settings: ActionSettings) -> None:
        """Raise `ValueError` for a target that the config does not name."""
        _named("target", self.to, settings.targets)


class Webhook(Action):
    """Post the result to an address of the config."""

    kind = "webhook"
    to: str = Field(description="The name of a webhook.")

    def check(self, properties: Mapping[str, Any], settings: ActionSettings) -> None:
        """Raise `ValueError` for an address that the config does not name."""
        _named("webhook", self.to, settings.webhooks)


class Notify(Action):
    """Show a notification on the desktop."""

    kind = "notify"
    title: str = Field(min_length=1, description="Its first line.")
    text: str = Field("", description="The rest.")


class Command(Action):
    """Run a program of the config; the result is its standard input."""

    kind = "command"
    run: str = Field(description="The name of a command.")

    def check(self, properties: Mapping[str, Any], settings: ActionSettings) -> None:
        """Raise `ValueError` for a program that the config does not name."""
        _named("command", self.run, settings.commands)


# Every kind there is.
ACTIONS: tuple[type[Action], ...] = (
    *(FrontMatter, Sidecar, Move, Copy, Rename, Append),
    *(Webhook, Notify, Command),
)
KINDS = {action.kind: action for action in ACTIONS}
LEAVE = "leave"  # a target that stands for none: the document stays where it is


def read_actions(
    raw: Sequence[Mapping[str, Any]], properties: Mapping[str, Any], settings: ActionSettings
) -> tuple[Action, ...]:
    """The actions of a task whose output has these properties; raises `BadAction`."""
    return tuple(_read(index, one, properties, settings) for index, one in enumerate(raw))


def _read(index: int, raw: Mapping[str, Any], properties: Mapping[str, Any], settings: ActionSettings) -> Action:
    if len(raw) != 1 or next(iter(raw)) not in KINDS:
        raise BadAction(
            f"an action is one of {', '.join(KINDS)}, with what it needs: `notify: {{title: …}}`", index=index
        )
    name, details = next(iter(raw.items()))
    try:
        action = KINDS[name].model_validate(details)
        known = [*properties, *OF_FILE]
        for text in action.templates():
            for field in template.fields(text):
                if field not in known:
                    raise ValueError(f"there is no field `{field}`: it may name {', '.join(known)}")
        action.check(properties, settings)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadAction(f"`{name}`: {place + ': ' if place else ''}{first['msg']}", index=index) from invalid
    except ValueError as wrong:
        raise BadAction(f"`{name}`: {wrong}", index=index) from wrong
    return action


def _named(what: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"the config has no {what} `{name}` (it has: {', '.join(known) or 'none'})")


def _values(text: str, properties: Mapping[str, Any]) -> list[str]:
    """What a template can become: itself, or the choices of the field that it is."""
    named = template.fields(text)
    if not named:
        return [text]
    choices = properties.get(named[0], {}).get("enum") if len(named) == 1 and text.strip() == text else None
    if not choices or template.fill(text, {named[0]: ""}).strip():
        raise ValueError(f"`to: {text}` may be the name of a target, or one field that is an enum of such names")
    return [str(choice) for choice in choices]
