"""The whole config: the sections of all rooms that exist, and the file they are read from."""

import itertools
from collections.abc import Callable
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from agentd.actions.notify_settings import NotifySettings
from agentd.actions.settings import ActionSettings
from agentd.conditions import When, WhenOfClasses
from agentd.config import Section, read_yaml, validate
from agentd.engine.settings import EMBEDDINGS, ModelSettings
from agentd.errors import ConfigError
from agentd.logs.settings import LogSettings
from agentd.tasks.settings import Vocabulary
from agentd.triggers.schedule_settings import ScheduleSettings
from agentd.triggers.settings import WatchSettings


class Config(Section):
    """What `config.yaml` says. Everything has a default."""

    models: dict[str, ModelSettings] = Field(
        {"main": ModelSettings.model_construct()},
        description="Models by name. A task names the one that does it; `main` is the default.",
    )
    watch: tuple[WatchSettings, ...] = Field((), description="Folders to watch.")
    logs: tuple[LogSettings, ...] = Field((), description="Logs to follow.")
    when: WhenOfClasses = Field(
        WhenOfClasses.model_construct(), description="What must hold before whole classes of work are begun."
    )
    schedule: tuple[ScheduleSettings, ...] = Field((), description="Tasks that run by the clock.")
    actions: ActionSettings = Field(
        ActionSettings.model_construct(), description="What results may do outside their own folder."
    )
    notify: NotifySettings = Field(
        NotifySettings.model_construct(), description="Who is told of what, beside what tasks do."
    )
    backups: int = Field(
        7, ge=0, le=365, description="How many daily copies of the database are kept beside it; 0 makes none."
    )
    vocabularies: dict[str, Vocabulary] = Field(
        {}, description="Words that tasks may choose from, with a description each or as a plain list."
    )

    @field_validator("watch")
    @classmethod
    def _one_way_for_each_file(cls, watches: tuple[WatchSettings, ...]) -> tuple[WatchSettings, ...]:
        for one, other in itertools.combinations(watches, 2):
            nested = one.path.is_relative_to(other.path) or other.path.is_relative_to(one.path)
            if nested and one.task == other.task and one.per != other.per:
                raise ValueError(
                    f"{one.path} and {other.path} are watched for the same task, `per: {one.per}` and "
                    f"`per: {other.per}`: who takes a file would be chance"
                )
        return watches

    @field_validator("logs")
    @classmethod
    def _each_log_once(cls, logs: tuple[LogSettings, ...]) -> tuple[LogSettings, ...]:
        sources = [log.source for log in logs]
        if twice := [source for source in sources if sources.count(source) > 1]:
            raise ValueError(f"{twice[0]} is listed twice")
        return logs

    @field_validator("notify")
    @classmethod
    def _places_lead_somewhere(cls, notify: NotifySettings, info: ValidationInfo) -> NotifySettings:
        actions = info.data.get("actions")  # not there where it is itself broken
        if actions and (missing := notify.missing(actions.webhooks, actions.commands)):
            raise ValueError(missing)
        return notify

    @field_validator("schedule")
    @classmethod
    def _each_schedule_by_name(cls, schedules: tuple[ScheduleSettings, ...]) -> tuple[ScheduleSettings, ...]:
        titles = [schedule.title for schedule in schedules]
        if twice := [title for title in titles if titles.count(title) > 1]:
            raise ValueError(f"two schedules are called `{twice[0]}`: give one of them a `name`")
        return schedules

    @field_validator("models")
    @classmethod
    def _some_model(cls, models: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        if not models:
            raise ValueError("there is no model; leave the key out for the starter model")
        embedding = [name for name, model in models.items() if model.use == EMBEDDINGS]
        if len(embedding) > 1:
            raise ValueError(f"{' and '.join(embedding)} are all for embeddings; only one model can be")
        if len(models) == len(embedding):
            raise ValueError("there is no model for tasks; `main: {path: starter}` is the default one")
        return models

    def conditions(self) -> dict[str, list[When]]:
        """What must hold for the jobs of each origin that has to wait for something."""
        found: dict[str, list[When]] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            # Whatever makes jobs of its own, and may have a `when`: watches, logs, schedules.
            for section in value if isinstance(value, tuple) else ():
                when = getattr(section, "when", None)
                if isinstance(when, When) and when.asks:
                    found.setdefault(section.origin, []).append(when)
        return found

    @property
    def text_models(self) -> list[str]:
        """The models that tasks may name."""
        return [name for name, model in self.models.items() if model.use != EMBEDDINGS]

    def model_problem(self, name: str) -> str | None:
        """Why a task cannot have this model; None where it can."""
        if name in self.text_models:
            return None
        if name == self.embedding_model:
            return (
                f"the model `{name}` is for embeddings and does no tasks (there is {', '.join(self.text_models)})"
            )
        return f"the config has no model `{name}` (it has {', '.join(self.text_models)})"

    @property
    def embedding_model(self) -> str | None:
        """The model for embeddings, where there is one."""
        return next((name for name in self.models if name not in self.text_models), None)


def load_config(file: Path, warn: Callable[[str], object] = lambda told: None) -> Config:
    """The config in `file`, or the defaults where there is none; raises `ConfigError` with file and line.

    `warn` is told of every key that stands there by an old name.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Config()
    except UnicodeDecodeError as broken:
        raise ConfigError(f"{file}: is not valid UTF-8: {broken.reason}") from broken
    except OSError as broken:
        raise ConfigError(f"{file}: cannot be read: {broken.strerror}", hint=f"ls -l '{file}'") from broken
    return validate(read_yaml(text, file), Config, warn)
