"""What one look at one thing came to. Who looked, and how it is printed, is not known here."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. Only an error makes `agentd doctor` fail."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    level: Level
    about: str  # what: a folder, a model's name, "socket"
    told: str  # how it is
    hint: str = ""  # the next command to type; empty where there is nothing to do


def ok(about: str, told: str) -> Diagnosis:
    """It is as it should be."""
    return Diagnosis(Level.OK, about, told)


def warning(about: str, told: str, hint: str) -> Diagnosis:
    """It works, but not as well as it could, or not for long."""
    return Diagnosis(Level.WARNING, about, told, hint)


def error(about: str, told: str, hint: str) -> Diagnosis:
    """Something that was asked for cannot work."""
    return Diagnosis(Level.ERROR, about, told, hint)
