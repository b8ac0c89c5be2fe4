"""The `actions` section of the config: where changes may go, beyond the watched folders themselves."""

import re
from typing import Literal

from pydantic import Field, field_validator

from agentd.config import Duration, Section, UserPath

_URL = re.compile(r"https?://[^\s/?#]+\S*")
_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"


class WebhookSettings(Section):
    """An address that is told of results. Nothing else is ever connected to."""

    url: str = Field(description="Where results are posted to; redirects are not followed.")
    secret_file: UserPath | None = Field(
        None, description="A file whose text signs every message, as Standard Webhooks say."
    )
    timeout: Duration = Field(10.0, description="How long an answer may take.")

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if not _URL.fullmatch(url):
            raise ValueError(f"{url!r} is no http or https address")
        return url


class CommandSettings(Section):
    """A program that may be run after a result. What is in the document goes to its standard input alone."""

    run: tuple[str, ...] = Field(
        min_length=1, description="The program and its arguments, each as it is: no shell."
    )
    timeout: Duration = Field(60.0, description="How long it may take.")

    @field_validator("run")
    @classmethod
    def _has_program(cls, run: tuple[str, ...]) -> tuple[str, ...]:
        if not run[0].startswith("/"):
            raise ValueError(f"{run[0]!r} is no absolute path of a program")
        return run


class ActionSettings(Section):
    """What results may do outside their own folder. Nothing that is not named here."""

    targets: dict[str, UserPath] = Field(
        {}, description="Folders by name, into which files may be moved, copied or written."
    )
    webhooks: dict[str, WebhookSettings] = Field({}, description="Addresses by name.")
    commands: dict[str, CommandSettings] = Field({}, description="Programs by name; none by default.")
    notifications: Literal["on", "off"] = Field("on", description="Whether tasks may show notifications.")

    @field_validator("targets", "webhooks", "commands")
    @classmethod
    def _plain_names(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"the name {name!r} may have a-z, 0-9, - and _ only, at most 32")
        return named
